import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfcnns.errors import UserError
from tfcnns.pipelines import jpeg
from tfcnns.pipelines.batches import batches
from tfcnns.pipelines.datasets import open_dataset
from tfcnns.pipelines.images import decode


def picture(grey, form="JPEG"):
    buffer = io.BytesIO()
    Image.fromarray(np.full([10, 12, 3], grey, np.uint8)).save(buffer, form)
    return buffer.getvalue()


def write(folder, **classes):
    """A subfolder for each class, with as many JPEGs as it says."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for n in range(count):
            (folder / name / f"{n}.jpg").write_bytes(picture(n))


def names(source):
    """{path below the class folders' own: label}"""
    rows = source.dataset().map(lambda image, label: (image.name, label)).as_numpy_iterator()
    return {"/".join(path.decode().split("/")[-2:]): int(label) for path, label in rows}


@pytest.fixture
def animals(tmp_path):
    write(tmp_path, cat=60, dog=40)
    return tmp_path


def test_one_folder_per_class(animals):
    parts = {s: open_dataset(f"folder:{animals}", s) for s in ("train", "validation", "test")}
    assert all(source.class_names == ("cat", "dog") for source in parts.values())
    found = [name for source in parts.values() for name in names(source)]
    assert len(found) == len(set(found)) == 100
    assert 5 <= len(parts["test"]) <= 16  # about a tenth
    assert 5 <= len(parts["validation"]) <= 16
    both = names(open_dataset(f"folder:{animals}", "train+validation"))
    assert both == names(parts["train"]) | names(parts["validation"])
    assert all(label == int(name.startswith("dog")) for name, label in both.items())
    assert list(both) == sorted(both)  # the order of classes and names


def test_new_files_move_no_other(animals):
    splits = ("train", "validation", "test")
    before = [set(names(open_dataset(f"folder:{animals}", split))) for split in splits]
    write(animals, bird=30)
    (animals / "cat" / "new.jpg").write_bytes(picture(0))
    after = [set(names(open_dataset(f"folder:{animals}", split))) for split in splits]
    for old, new in zip(before, after, strict=True):
        assert old <= new


def test_data_are_the_files(animals):
    (animals / "cat" / "a.PNG").write_bytes(picture(200, "PNG"))
    source = open_dataset(f"folder:{animals}", "train")
    for image, _ in source.dataset().as_numpy_iterator():
        with open(image.name, "rb") as file:
            assert file.read() == image.data


def test_folders_for_the_splits(tmp_path):
    write(tmp_path / "train", cat=50, dog=50)
    write(tmp_path / "val", dog=3)
    name = f"folder:{tmp_path}"
    test = open_dataset(name, "test")  # as in ImageNet's own folders
    assert test.class_names == ("cat", "dog")
    assert names(test) == {"dog/0.jpg": 1, "dog/1.jpg": 1, "dog/2.jpg": 1}
    train, held = (names(open_dataset(name, split)) for split in ("train", "validation"))
    assert 4 <= len(held) <= 17
    assert not set(train) & set(held)
    assert names(open_dataset(name, "train+validation")) == dict(sorted((train | held).items()))

    write(tmp_path / "test", cat=2)
    assert len(open_dataset(name, "train")) == 100
    assert names(open_dataset(name, "validation")) == names(test)
    assert names(open_dataset(name, "test")) == {"cat/0.jpg": 0, "cat/1.jpg": 0}
    assert len(open_dataset(name, "train+validation")) == 103


def test_class_that_is_called_train(tmp_path):
    write(tmp_path, plane=20, train=20)
    assert open_dataset(f"folder:{tmp_path}", "train").class_names == ("plane", "train")


def test_identifiers_of_imagenet_become_names(tmp_path):
    write(tmp_path, n01440764=20, n15075141=20)
    source = open_dataset(f"folder:{tmp_path}", "train")
    assert source.class_names == ("tench", "toilet tissue")


def test_what_is_left_out_is_told_once(animals, caplog):
    cat = animals / "cat"
    for name in ("notes.txt", ".hidden.jpg", "1.avif", "2.AVIF", "README"):
        (cat / name).write_bytes(b"x")
    (cat / "d.jpg").mkdir()
    (cat / "gone.jpg").symlink_to(cat / "nowhere.jpg")
    (cat / "linked.jpg").symlink_to(cat / "1.jpg")
    (animals / ".thumbnails").mkdir()
    (animals / "readme.md").write_text("x")
    (animals / "emu").mkdir()
    (animals / "fox" / "2020").mkdir(parents=True)
    (animals / "gnu").mkdir()
    (animals / "gnu" / "1.heic").write_bytes(b"x")
    sources = [open_dataset(f"folder:{animals}", s) for s in ("train+validation", "test")]
    found = [name for source in sources for name in names(source)]
    assert len(found) == 101  # with the link
    assert "cat/linked.jpg" in found
    assert sources[0].class_names == ("cat", "dog", "emu", "fox", "gnu")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        f"{animals}: left out 2 .avif, 2 folders, 1 of no ending, 1 broken link, 1 .txt, "
        "1 .heic; no images of 3 of 5 classes: emu (empty), fox (1 folder), gnu (1 .heic)"
    )


def test_every_ending_is_read(tmp_path):
    forms = {"jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "png": "PNG"}
    forms |= {"gif": "GIF", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF", "tiff": "TIFF"}
    (tmp_path / "test" / "cat").mkdir(parents=True)
    write(tmp_path / "train", cat=1)
    for ending, form in forms.items():
        (tmp_path / "test" / "cat" / f"a.{ending}").write_bytes(picture(200, form))
    source = open_dataset(f"folder:{tmp_path}", "test")
    images = list(source.dataset().map(lambda image, _: jpeg.decode(image)).as_numpy_iterator())
    assert len(images) == len(forms)
    for image in images:  # one grey, which no codec changes by more than a level
        assert image.shape == (10, 12, 3)
        assert np.abs(image.astype(int) - 200).max() <= 1


def test_names_that_are_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/train/caf\xe9"
    os.makedirs(folder)
    with open(folder + b"/\xff.png", "wb") as file:
        file.write(picture(7, "PNG"))
    with open(folder + b"/\xfe.png", "wb") as file:
        file.write(b"no image")
    source = open_dataset(f"folder:{tmp_path}", "train+validation")
    assert source.class_names == ("caf\\xe9",)
    stream = source.dataset().map(lambda image, _: jpeg.decode(image)).as_numpy_iterator()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\\xfe.png isn't a readable image"):
        next(stream)
    assert (next(stream) == 7).all()


def test_folders_that_will_not_do(tmp_path):
    with pytest.raises(
        UserError, match=f"{tmp_path} has no train images; expected subfolders, one"
    ):
        open_dataset(f"folder:{tmp_path}", "train")
    with pytest.raises(UserError, match=r"can't read folder .*/nowhere: No such file"):
        open_dataset(f"folder:{tmp_path}/nowhere", "train")
    (tmp_path / "day" / "cat").mkdir(parents=True)
    said = r"has no train images; .*; left out 1 folder; no images of 1 of 1 classes: day \(1 fold"
    with pytest.raises(UserError, match=said):
        open_dataset(f"folder:{tmp_path}", "train")
    write(tmp_path / "train", cat=3)
    with pytest.raises(UserError, match=f"{tmp_path} has no test images; it has train"):
        open_dataset(f"folder:{tmp_path}", "test")
    write(tmp_path / "test", lion=3)
    with pytest.raises(UserError, match=f"{tmp_path}/test/lion is none of the 1 classes"):
        open_dataset(f"folder:{tmp_path}", "test")


def test_batches_are_the_same_however_they_are_read(animals):
    source = open_dataset(f"folder:{animals}", "train")

    def example(index, seed):
        image, label = source.example(index)
        return jpeg.random_crop(image, 8, seed, short_side=9), label

    def stream(**more):
        made = batches(example, len(source), 16, seed=3, shuffle=True, epochs=2, **more)
        return list(made.as_numpy_iterator())

    full = stream()
    for batch, expected in zip(stream(first_step=7), full[7:], strict=True):
        for part, other in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(part, other)
    workers = [stream(worker=worker, workers=2) for worker in range(2)]
    for *parts, expected in zip(*workers, full, strict=True):
        for part, other in zip(zip(*parts, strict=True), expected, strict=True):
            np.testing.assert_array_equal(np.concatenate(part), other)


def test_damaged_files_are_named_in_a_batch(animals):
    source = open_dataset(f"folder:{animals}", "train")
    path = animals / next(iter(names(source)))
    path.write_bytes(b"no image")

    def example(index, seed):
        image, _ = source.example(index)
        return jpeg.random_crop(image, 8, seed, short_side=9)

    with pytest.raises(tf.errors.InvalidArgumentError, match=f"UserError: {path} isn't a readable"):
        list(batches(example, len(source), 10))
    path.unlink()
    with pytest.raises(tf.errors.NotFoundError, match=str(path)):
        list(batches(example, len(source), 10))


def test_images_of_any_kind_look_as_they_do_elsewhere(tmp_path):
    (tmp_path / "cat").mkdir()
    clear = Image.new("RGBA", (9, 9), (255, 0, 0, 128))
    for n in range(20):
        clear.save(tmp_path / "cat" / f"{n}.png")
    source = open_dataset(f"folder:{tmp_path}", "train")
    (image,) = source.dataset().take(1).map(lambda image, _: jpeg.decode(image))
    np.testing.assert_array_equal(image, decode((tmp_path / "cat" / "0.png").read_bytes()))
