import shutil
import subprocess
import sys

import fake_datasets
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfcnns.errors import UserError
from tfcnns.pipelines import arrays, jpeg
from tfcnns.pipelines.batches import batches
from tfcnns.pipelines.datasets import open_dataset
from tfcnns.pipelines.digits import load_digits
from tfcnns.pipelines.imagenet_classes import imagenet_class_names


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Prepared by open_dataset itself, from archives that the downloader finds on the disk."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = fake_datasets.prepare_all(monkeypatch, tmp_path_factory.mktemp("fake"))
        for name in ("mnist", "cifar10", "cifar100", "svhn_cropped", "imagenet2012"):
            open_dataset(name, "test", data_dir=folder, download=True)
        other = {"data_dir": folder / "other", "file_format": "array_record"}
        tfds.builder("cifar10", **other).download_and_prepare()
    return folder


@pytest.fixture(autouse=True)
def small_svhn(monkeypatch):
    monkeypatch.setattr(arrays, "SVHN_HELD_OUT", {"train": 4, "extra": 2})


def numbers(source):
    return [fake_datasets.number(image) for image, _ in source.dataset().as_numpy_iterator()]


@pytest.mark.parametrize(
    ("name", "shape", "train", "validation", "test"),
    [
        ("mnist", (28, 28, 1), range(50), range(50, 60), range(10)),
        ("cifar10", (32, 32, 3), range(40), range(40, 50), range(50, 70)),
        ("cifar100", (32, 32, 3), range(40), range(40, 50), range(50, 70)),
    ],
)
def test_small_data_sets_are_split_as_published(data_dir, name, shape, train, validation, test):
    """The last images of the published files are held out, whatever TFDS' order."""
    classes = 100 if name == "cifar100" else 10
    both = list(train) + list(validation)
    expected = {"train": train, "validation": validation, "train+validation": both, "test": test}
    for split, which in expected.items():
        source = open_dataset(name, split, data_dir=data_dir)
        assert len(source) == len(which)
        assert source.classes == classes
        assert numbers(source) == list(which)
        image, label = source.dataset().element_spec
        assert (image.dtype, image.shape) == (tf.uint8, shape)
        assert (label.dtype, label.shape) == (tf.int64, ())
        labels = [label for _, label in source.dataset().as_numpy_iterator()]
        assert labels == [n % classes for n in which]


def test_class_names(data_dir):
    assert open_dataset("cifar10", "test", data_dir=data_dir).class_names[3] == "class 3"
    assert open_dataset("mnist", "test", data_dir=data_dir).class_names == tuple("0123456789")


def test_svhn_trains_on_both_of_its_parts(data_dir):
    both = list(range(100)) + list(range(60))
    every = open_dataset("svhn_cropped", "train+validation", data_dir=data_dir)
    assert numbers(every) == both
    train = open_dataset("svhn_cropped", "train", data_dir=data_dir)
    validation = open_dataset("svhn_cropped", "validation", data_dir=data_dir)
    assert sorted(numbers(train) + numbers(validation)) == sorted(both)
    assert len(validation) == 60
    labels = [label for _, label in validation.dataset().as_numpy_iterator()]
    assert np.bincount(labels[:40]).tolist() == [4] * 10
    assert np.bincount(labels[40:]).tolist() == [2] * 10
    # The number of an image is that of its class, and the file's class 10 is the digit 0.
    assert labels == [(n + 1) % 10 for n in numbers(validation)]
    assert numbers(open_dataset("svhn_cropped", "test", data_dir=data_dir)) == list(range(20))


def test_svhn_split_of_the_real_size(monkeypatch):
    """The draws of pylearn2's svhn.py, which counts classes 1 to 10 in the files' order."""
    monkeypatch.undo()
    labels = [np.random.RandomState(n).randint(1, 11, n) for n in (73_257, 531_131)]
    rows = arrays.svhn_validation([part % 10 for part in labels])
    random = np.random.RandomState(322)
    expected = []
    for part, first, count in zip(labels, (0, 73_257), (400, 200), strict=True):
        for label in range(1, 11):
            index = np.nonzero(part[:, None] == label)[0]
            random.shuffle(index)
            expected.extend(first + index[:count])
    np.testing.assert_array_equal(rows, sorted(expected))
    assert 73_257 + 531_131 - len(rows) == 598_388


def test_published_order_is_what_ids_say(data_dir):
    builder = tfds.builder("cifar10", data_dir=data_dir)
    ids = [row["id"].decode() for row in tfds.as_numpy(builder.as_dataset(split="train"))]
    assert ids == [f"train_{n:05d}" for n in arrays.published_order("train", 50)]


def test_array_record_holds_the_same(data_dir):
    given = open_dataset("cifar10", "train", data_dir=data_dir)
    other = open_dataset("cifar10", "train", data_dir=data_dir / "other")
    for (image, label), (expected, answer) in zip(other.dataset(), given.dataset(), strict=True):
        np.testing.assert_array_equal(image, expected)
        assert label == answer


def test_damaged_array_records_are_named(data_dir, tmp_path):
    folder = tmp_path / "cifar10"
    shutil.copytree(data_dir / "other" / "cifar10" / "3.0.2", folder)
    (file,) = folder.glob("*-train.array_record*")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    source = open_dataset(f"records:{folder}", "train+validation")
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{folder}, record \d+ is damaged"):
        list(source.dataset())


def test_imagenet(data_dir):
    train = open_dataset("imagenet2012", "train", data_dir=data_dir)
    validation = open_dataset("imagenet2012", "validation", data_dir=data_dir)
    test = open_dataset("imagenet2012", "test", data_dir=data_dir)
    assert (len(train), len(validation), len(test)) == (258, 2, 10)
    assert len(open_dataset("imagenet2012", "train+validation", data_dir=data_dir)) == 260
    assert train.class_names == imagenet_class_names()

    def crop(image, label):
        return jpeg.center_crop(image, 6, short_side=8), label, image.name

    seen = set()
    for source in (train, validation):
        for image, label, name in source.dataset().map(crop).as_numpy_iterator():
            assert {0: 50, 999: 200}[label] == pytest.approx(image.mean(), abs=1)
            seen.add(name)
    assert len(seen) == 260
    assert all(b"imagenet2012-train.tfrecord-00000-of-00001, record " in name for name in seen)
    real_answers = {label for _, label in test.dataset().as_numpy_iterator()}
    assert len(real_answers) > 5  # of the first ten images of the challenge


def test_parts_of_a_source(data_dir):
    source = open_dataset("cifar10", "validation", data_dir=data_dir)
    assert numbers(source.part(range(3))) == [40, 41, 42]
    assert numbers(source.part([5, 1]).part(np.array([1]))) == [41]


def test_digits_come_in_any_size():
    source = open_dataset("digits", "validation", size=12, channels=3)
    image, label = next(source.dataset().as_numpy_iterator())
    images, labels = load_digits("validation", 12)
    assert len(source) == 150
    np.testing.assert_array_equal(image, np.repeat(images[0], 3, axis=-1))
    assert label == labels[0]
    assert len(open_dataset("digits", "train+validation")) == 1397


@pytest.mark.parametrize("name", ["cifar10", "svhn_cropped", "imagenet2012", "digits"])
def test_batches_of_every_kind(data_dir, name):
    source = open_dataset(name, "train", data_dir=data_dir)

    def example(index, seed):
        image, label = source.example(index)
        return jpeg.random_crop(image, 6, seed, short_side=8), label

    def stream(**more):
        return batches(example, len(source), 7, shuffle=True, **more).as_numpy_iterator()

    for (image, label), (expected, answer), _ in zip(
        stream(first_step=2), list(stream())[2:], range(3), strict=False
    ):
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(label, answer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10", r"cifar10 isn't prepared in (\S+): `tfds build cifar10 --data_dir=\1`, or add"),
        (
            "imagenet2012",
            r"put ILSVRC2012_img_train.tar and .* into \S+/downloads/manual, then `tfds",
        ),
        ("cifar11", r"unknown data set 'cifar11', did you mean 'cifar10' or 'cifar100'"),
        ("folder:", "unknown data set 'folder:'"),
        ("records:/nowhere", r"/nowhere isn't a data set .* no features.json"),
        ("folder:/nowhere", r"can't read folder /nowhere: No such file"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, name, message):
    with pytest.raises(UserError, match=message) as error:
        open_dataset(name, "train", data_dir=tmp_path)
    assert "\n" not in str(error.value)


def test_nothing_is_downloaded_unasked(tmp_path, monkeypatch):
    def fetch(*_):
        pytest.fail("tried to download")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fetch)
    with pytest.raises(UserError, match="isn't prepared"):
        open_dataset("cifar10", "train", data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_downloads_that_fail(tmp_path, monkeypatch):
    def fetch(*_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fetch)
    with pytest.raises(
        UserError, match=r"cifar10 couldn't be prepared \(no route to host\); by hand: `tfds build"
    ):
        open_dataset("cifar10", "train", data_dir=tmp_path, download=True)
    with pytest.raises(UserError, match="imagenet2012 couldn't be prepared"):
        open_dataset("imagenet2012", "train", data_dir=tmp_path, download=True)


@pytest.mark.parametrize("split", ["training", "", "test+train"])
@pytest.mark.parametrize("name", ["digits", "mnist", "imagenet2012"])
def test_unknown_splits_are_refused(data_dir, name, split):
    with pytest.raises(UserError, match=r"split must be one of train, validation, train\+valid"):
        open_dataset(name, split, data_dir=data_dir)


def test_damaged_arrays_are_named(data_dir, tmp_path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    for path in (data_dir / "mnist" / "3.0.1").iterdir():
        data = bytearray(path.read_bytes())
        if "train" in path.name:
            data[1000] ^= 1
        (folder / path.name).write_bytes(data)
    with pytest.raises(UserError, match=f"{folder} is damaged or incomplete; prepare it again"):
        open_dataset("mnist", "train", data_dir=tmp_path)


def test_nothing_is_said(data_dir):
    """A script that opens a data set prints what it says itself, and nothing of TFDS'."""
    program = f"""
from tfcnns.cli import start_tensorflow
start_tensorflow(0)
from tfcnns.pipelines.datasets import open_dataset
for name in ("cifar10", "imagenet2012"):
    print(len(list(open_dataset(name, "test", data_dir={str(data_dir)!r}).dataset())))
open_dataset("cifar10", "test", data_dir={str(data_dir / "other")!r})
try:
    open_dataset("mnist", "test", data_dir={str(data_dir / "other")!r})
except ValueError:
    pass
"""
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout == "20\n10\n"
    assert said.stderr == ""
