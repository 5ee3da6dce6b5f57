import logging

import fake_boxes
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfcnns.detection.targets import IGNORED
from tfcnns.errors import UserError
from tfcnns.pipelines import box_table, digit_scenes, jpeg
from tfcnns.pipelines.batches import batches
from tfcnns.pipelines.box_datasets import NAMES, open_boxes
from tfcnns.pipelines.digit_scenes import load_digit_scenes
from tfcnns.recipes import overfeat_detect_coco, overfeat_detect_voc, overfeat_digits

TRAIN = [
    [("dog", 1, 1, 30, 20), ("person", 3, 4, 9, 9), ("cat", 11, 6, 20, 12)],
    [("train", 2, 2, 15, 10)],
    *([("bird", 5, 5, 9, 10 + n)] for n in range(9)),
]
COCO = [
    [(3, [5.5, 6.25, 10, 20], 0), (0, [0, 0, 50, 40], 1), (7, [4, 4, 0, 9], 0)],
    [],
    [(79, [1, 2, 3, 4], 0), (79, [10, 10, 40, 30], 0)],
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Prepared by open_boxes itself, with TFDS' builders, from folders made here."""
    folder = tmp_path_factory.mktemp("boxes")
    some = [[("dog", 2, 3, 8, 9)], [("sofa", 1, 1, 4, 4)] * 3]
    fake_boxes.voc(folder, 2007, {"train": TRAIN, "val": some, "test": some[:1]})
    fake_boxes.voc(folder, 2012, {"train": TRAIN, "val": some, "test": [[]]})
    fake_boxes.coco(folder, {"train2017": COCO, "val2017": COCO[2:], "test2017": [[]]})
    with pytest.MonkeyPatch.context() as monkeypatch:
        fake_boxes.found_in(monkeypatch, folder)
        for name in ("voc/2007", "voc/2012", "coco/2017"):
            open_boxes(name, "test", data_dir=folder / "data", download=True)
        return folder / "data"


def examples(source):
    return list(source.dataset().as_numpy_iterator())


def by_grey(source):
    """Boxes and labels by the number of the image, which is its grey level over 10."""

    def decoded(image, *rest):
        return tf.reduce_mean(tf.cast(jpeg.decode(image), tf.float32)) / 10, *rest

    rows = source.dataset().map(decoded).as_numpy_iterator()
    return {int(np.rint(grey)): tuple(rest) for grey, *rest in rows}


def test_voc_counts_pixels_from_one(data_dir, caplog):
    source = open_boxes("voc/2007", "train", data_dir=data_dir)
    assert len(source) == 11
    assert (source.classes, source.class_names[11]) == (20, "dog")
    found = by_grey(source)
    np.testing.assert_array_equal(found[0][0], [[0, 0, 30, 20], [10, 5, 20, 12]])
    np.testing.assert_array_equal(found[0][1], [11, 7])
    np.testing.assert_array_equal(found[1][0], [[1, 1, 15, 10], [0, 0, 0, 0]])
    np.testing.assert_array_equal(found[1][1], [18, -1])
    assert [record.getMessage() for record in caplog.records] == [
        "voc/2007 train: of 13 boxes, left out 1 crowd or difficult"
    ]


def test_difficult_boxes_can_be_kept(data_dir, caplog):
    source = open_boxes("voc/2007", "train", data_dir=data_dir, crowds=True)
    boxes, labels, crowd = by_grey(source)[0]
    np.testing.assert_array_equal(boxes[1], [2, 3, 9, 9])
    assert labels.tolist() == [11, 14, 7]
    assert crowd.tolist() == [False, True, False]
    assert by_grey(source)[1][2].tolist() == [False] * 3
    assert not caplog.records


def test_recipes_train_on_no_crowd_as_on_background(data_dir, monkeypatch):
    """COCO's first image is a crowd all over, with one object, too large for these windows."""
    monkeypatch.setattr(overfeat_digits, "earlier_run", lambda *_: None)
    config = {**overfeat_detect_coco.config(), "data_dir": data_dir, "stage": "detector"}
    config |= {"epochs": 1, "batch_size": 3, "scales": (800,), "about": 0.0}
    ((pieces, targets),) = overfeat_detect_coco.data(config, "train").as_numpy_iterator()
    first = int(pieces.mean((1, 2, 3)).argmin())  # its grey level is 0
    assert (targets["classifier"][first] == IGNORED).all()
    assert (targets["boxes"][first, ..., 4] == IGNORED).all()
    assert (targets["classifier"] == 80).any()
    config = {**overfeat_detect_voc.config(), "data_dir": data_dir, "split": "train"}
    assert by_grey(overfeat_digits.source(config, "train"))[0][2].tolist() == [False, True, False]


def test_splits(data_dir):
    sizes = {
        "voc/2007": {"train": 11, "validation": 2, "train+validation": 13, "test": 1},
        "voc/2012": {"train": 10, "validation": 1, "train+validation": 11, "test": 2},
        "coco/2017": {"train+validation": 3, "test": 1},
    }
    for name, expected in sizes.items():
        for split, size in expected.items():
            assert len(open_boxes(name, split, data_dir=data_dir)) == size
    with pytest.raises(UserError, match="too few to hold some out"):
        open_boxes("coco/2017", "validation", data_dir=data_dir)
    with pytest.raises(UserError, match="split must be one of"):
        open_boxes("coco/2017", "val", data_dir=data_dir)


def test_coco_without_crowds_and_boxes_of_no_width(data_dir, caplog):
    source = open_boxes("coco/2017", "train+validation", data_dir=data_dir)
    assert (source.classes, source.class_names[79]) == (80, "thing 79")
    found = by_grey(source)
    np.testing.assert_allclose(found[0][0], [[5.5, 6.25, 15.5, 26.25], [0, 0, 0, 0]])
    assert [found[n][1].tolist() for n in range(3)] == [[3, -1], [-1, -1], [79, 79]]
    np.testing.assert_allclose(found[2][0], [[1, 2, 4, 6], [10, 10, 50, 40]])
    assert [record.getMessage() for record in caplog.records] == [
        "coco/2017 train: of 5 boxes, left out 1 crowd or difficult, 1 below 1 pixel"
    ]


def test_images_are_encoded_and_named(data_dir):
    (image, _, _), *_ = examples(open_boxes("voc/2007", "test", data_dir=data_dir))
    assert image.data.startswith(b"\xff\xd8")
    assert b"voc-test.tfrecord-00000-of-00001, record 0" in image.name


def test_how_many_boxes_examples_are_padded_to(data_dir):
    source = open_boxes("voc/2007", "test", data_dir=data_dir, max_boxes=5)
    _, boxes, labels = source.dataset().element_spec
    assert (boxes.shape, labels.shape) == ((5, 4), (5,))
    with pytest.raises(UserError, match="max_boxes must be at least 3, what an image has"):
        open_boxes("voc/2007", "validation", data_dir=data_dir, max_boxes=2)


def test_the_boxes_are_read_once(data_dir, tmp_path, caplog, monkeypatch):
    def count():
        source = open_boxes("voc/2012", "train+validation", data_dir=data_dir)
        read = [record for record in caplog.records if "once" in record.getMessage()]
        caplog.clear()
        return examples(source), len(read)

    caplog.set_level(logging.INFO, box_table.__name__)
    (place,) = data_dir.glob("voc/2012/*/voc-train.boxes.npz")
    first, times = count()
    assert times == 0
    place.write_bytes(b"PK not a zip")
    again, times = count()
    assert times == 1
    with np.load(place) as kept:
        whole = dict(kept)
    np.savez(place, **{**whole, "stamps": whole["stamps"] + 1})  # of other files
    assert count()[1] == 1
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(box_table.os, "replace", _only_below(tmp_path))
    place.unlink()
    assert [count()[1] for _ in range(2)] == [1, 0]
    assert not place.exists()
    assert not list(place.parent.glob(".voc*"))
    for one, other in zip(first, again, strict=True):
        for part, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, expected)


def _only_below(folder):
    replace = box_table.os.replace

    def guarded(begun, place):
        if not str(place).startswith(str(folder)):
            raise PermissionError("read-only")
        replace(begun, place)

    return guarded


def test_batches(data_dir):
    source = open_boxes("voc/2007", "train", data_dir=data_dir)

    def example(index, seed):
        image, boxes, labels = source.example(index)
        return jpeg.random_crop(image, 16, seed, short_side=20), boxes, labels

    def stream(**more):
        made = batches(example, len(source), 4, shuffle=True, **more)
        return list(made.as_numpy_iterator())

    (image, boxes, labels), *_ = later = stream(first_step=1)
    assert (image.shape, boxes.shape, labels.shape) == ((4, 16, 16, 3), (4, 2, 4), (4, 2))
    for given, expected in zip(later, stream()[1:], strict=True):
        for part, other in zip(given, expected, strict=True):
            np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("name", ["digit_scenes", "digit_scenes/single"])
def test_digit_scenes_are_the_same_from_disk_and_from_memory(tmp_path, monkeypatch, capfd, name):
    counts = {"train": 5, "validation": 3, "test": 4}
    monkeypatch.setattr(digit_scenes, "SCENES", counts)
    for config in digit_scenes.DigitScenes.builder_configs.values():
        monkeypatch.setattr(config, "scenes", counts)
    painted = open_boxes(name, "train+validation", channels=3)
    assert len(painted) == 8
    with pytest.raises(UserError, match=f"{name} isn't prepared in {tmp_path}: add --download"):
        open_boxes(name, "test", data_dir=tmp_path)
    stored = open_boxes(name, "train+validation", data_dir=tmp_path, download=True, channels=3)
    assert "".join(capfd.readouterr()) == ""  # TFDS keeps quiet
    for one, other in zip(examples(painted), examples(stored), strict=True):
        for part, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, expected)
    assert painted.dataset().element_spec == stored.dataset().element_spec
    test = open_boxes(name, "test", data_dir=tmp_path)
    objects = (1, 1) if name.endswith("single") else (1, 6)
    for (image, _, _), expected in zip(
        examples(test), load_digit_scenes("test", objects=objects)[0], strict=True
    ):
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("voc/2007", r"voc/2007 isn't prepared in \S+: `tfds build voc/2007 --data_dir=\S+`, or"),
        ("coco/2017", "coco/2017 isn't prepared in"),
        ("imagenet_boxes/loc", r"put ILSVRC .* into \S+/downloads/manual, then add --download"),
        ("digit_scenes", "which paints it there, or leave --data_dir out"),
        ("voc/2008", r"unknown data set with boxes 'voc/2008', did you mean 'voc/2007'"),
        ("voc", "unknown data set with boxes 'voc'"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, monkeypatch, name, message):
    def fetch(*_):
        pytest.fail("tried to download")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fetch)
    with pytest.raises(UserError, match=message) as error:
        open_boxes(name, "train", data_dir=tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_named():
    with pytest.raises(UserError, match="split must be one of"):
        open_boxes("digit_scenes", "dev")
    with pytest.raises(UserError, match="digit_scenes has no crowds"):
        open_boxes("digit_scenes", "test", crowds=True)
    assert len(NAMES) == 7
