import fake_boxes
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tfcnns import recipes, runs
from tfcnns.errors import UserError
from tfcnns.pipelines import imagenet_boxes, jpeg
from tfcnns.pipelines.box_datasets import open_boxes
from tfcnns.pipelines.imagenet_classes import imagenet_wnids
from tfcnns.pipelines.source import Encoded
from tfcnns.training.settings import with_class_names

SHAPE = (40, 50)
FISH, FUNGUS = imagenet_wnids()[0], imagenet_wnids()[999]


class Folder:
    """The challenge's folder, filled image by image."""

    def __init__(self, root, kind):
        self.root, self.kind = root, kind

    def add(self, name, objects, shape=SHAPE, said=None, grey=128, **options):
        fake_boxes.photograph(self.image(name), *shape, grey, **options)
        fake_boxes.xml(self.file(name), said or shape, objects, filename=name)

    def file(self, name):
        return self.root / "Annotations" / self.kind / f"{name}.xml"

    def image(self, name):
        return self.root / "Data" / self.kind / f"{name}.JPEG"

    def devkit(self, name, content):
        path = self.root / "devkit" / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def loc(tmp_path):
    folder = Folder(tmp_path / "downloads" / "manual" / "ILSVRC", "CLS-LOC")
    folder.add(f"train/{FISH}/{FISH}_1", [(FISH, 0, 5, 49, 20)], grey=10)
    folder.add(f"train/{FUNGUS}/{FUNGUS}_7", [(FUNGUS, 3, 4, 9, 9)] * 2, grey=20)
    folder.add("val/ILSVRC2012_val_00000001", [(FISH, 1, 2, 3, 4)], grey=30)
    folder.add("val/ILSVRC2012_val_00000002", [(FUNGUS, 1, 2, 3, 4)], grey=40)
    return folder


def prepared(folder, split, kind="loc"):
    """{grey level over 10: (boxes, labels)} of what was prepared from a folder."""
    data_dir = folder.root.parents[2]
    source = open_boxes(f"imagenet_boxes/{kind}", split, data_dir=data_dir, download=True)
    rows = {}
    for image, boxes, labels in source.dataset():
        grey = jpeg.decode(image).numpy().mean()
        rows[round(grey / 10)] = boxes.numpy()[labels >= 0], labels.numpy()[labels >= 0]
    return source, rows


def test_localisation(loc):
    source, rows = prepared(loc, "train+validation")
    assert (source.classes, source.class_names[0]) == (1000, "tench")
    assert rows[1][1].tolist() == [0]
    assert rows[2][1].tolist() == [999, 999]
    # The last pixel is part of a box, so 0 to 49 is all of 50 columns.
    np.testing.assert_array_equal(rows[1][0], [[0, 5, 50, 21]])
    np.testing.assert_array_equal(rows[2][0], [[3, 4, 10, 10]] * 2)
    assert sorted(prepared(loc, "test")[1]) == [3, 4]


def test_it_is_a_data_set_of_tfds(loc):
    prepared(loc, "test")
    builder = tfds.builder("imagenet_boxes/loc", data_dir=loc.root.parents[2])
    assert list(builder.info.splits) == ["train", "validation"]
    rows = list(tfds.as_numpy(builder.as_dataset(split="train")))
    names = sorted(row["image/filename"].decode() for row in rows)
    assert names == [f"CLS-LOC/train/{w}/{w}_{n}.JPEG" for w, n in ((FISH, 1), (FUNGUS, 7))]
    assert rows[0]["image"].shape == (*SHAPE, 3)


def test_images_without_annotation_or_boxes(loc, caplog):
    fake_boxes.photograph(loc.image(f"train/{FISH}/{FISH}_2"), *SHAPE, grey=50)
    loc.add(f"train/{FISH}/{FISH}_3", [], grey=60)
    loc.add(f"train/{FISH}/{FISH}_4", [(FISH, 1, 1, 5, 5)], grey=70)
    loc.image(f"train/{FISH}/{FISH}_4").unlink()
    _, rows = prepared(loc, "train+validation")
    assert sorted(rows) == [1, 2, 6]
    assert rows[6][0].shape == (0, 4)
    assert [record.getMessage() for record in caplog.records] == [
        "CLS-LOC train: 1 of 4 annotated images are missing and left out"
    ]


def test_bad_boxes_are_put_right_or_left_out_and_counted(loc, caplog):
    objects = [(9, 9, 3, 4), (30, 30, 500, 500), (-7, 5, 4, 8), (60, 1, 70, 2), (4, 4, "nan", 9)]
    loc.add(f"train/{FISH}/{FISH}_2", [(FISH, *box) for box in objects], grey=50)
    boxes, _ = prepared(loc, "train+validation")[1][5]
    np.testing.assert_array_equal(boxes, [[3, 4, 10, 10], [30, 30, 50, 40], [0, 5, 5, 9]])
    assert [record.getMessage() for record in caplog.records] == [
        "CLS-LOC train: of 8 boxes, left out 1 not finite, 1 outside the image; "
        "kept 1 with swapped corners, 2 clipped to the image"
    ]


def test_boxes_drawn_at_another_size_than_the_image_has(loc):
    loc.add(f"train/{FISH}/{FISH}_2", [(FISH, 10, 20, 19, 39)], said=(400, 500), grey=50)
    loc.add(f"train/{FISH}/{FISH}_3", [(FISH, 10, 20, 19, 29)], said=(0, 0), grey=60)
    rows = prepared(loc, "train+validation")[1]
    np.testing.assert_array_equal(rows[5][0], [[1, 2, 2, 4]])
    np.testing.assert_array_equal(rows[6][0], [[10, 20, 20, 30]])


@pytest.mark.parametrize(
    ("orientation", "upright"),
    # Its size says on which of the two the XML was drawn only if the image lies on a side.
    [*((n, False) for n in range(1, 9)), *((n, True) for n in range(5, 9))],
)
def test_boxes_turn_with_photographs_that_are_marked_as_turned(loc, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    name = f"train/{FISH}/{FISH}_1"
    pixels = np.zeros((40, 56, 3), np.uint8)
    pixels[8:16, 24:48] = 255
    Image.fromarray(pixels).save(loc.image(name), "JPEG", quality=95, exif=exif)
    encoded = Encoded(loc.image(name).read_bytes(), name)
    shown = jpeg.decode(encoded).numpy()[..., 0] > 128
    box = (24, 8, 47, 15)
    if upright:
        y, x = np.nonzero(shown)
        box = (x.min(), y.min(), x.max(), y.max())
    fake_boxes.xml(loc.file(name), shown.shape if upright else (40, 56), [(FISH, *box)])
    source = open_boxes(
        "imagenet_boxes/loc", "train+validation", data_dir=loc.root.parents[2], download=True
    )
    for image, boxes, labels in source.dataset():
        if labels[0] == 0:
            seen = jpeg.decode(image).numpy()[..., 0] > 128
            x0, y0, x1, y1 = boxes[0].numpy().astype(int)
            assert seen[y0:y1, x0:x1].all()
            assert seen.sum() == (y1 - y0) * (x1 - x0) == 8 * 24


def test_the_blacklist_of_the_devkit(loc):
    loc.devkit(imagenet_boxes.BLACKLIST, "2\n36\n")
    assert sorted(prepared(loc, "test")[1]) == [3]


def test_detection_has_the_classes_of_its_annotations(tmp_path):
    det = Folder(tmp_path / "downloads" / "manual" / "ILSVRC", "DET")
    det.add("train/ILSVRC2013_train/n9/n9_1", [("n9", 0, 0, 9, 9), ("n2", 1, 1, 3, 3)], grey=10)
    det.add("train/ILSVRC2014_train_0000/ILSVRC2014_train_00000001", [], grey=20)
    det.add("val/ILSVRC2012_val_00000001", [(FISH, 1, 2, 3, 4), ("n2", 5, 5, 9, 9)], grey=30)
    source, rows = prepared(det, "train+validation", "det")
    assert source.class_names == ("tench", "n2", "n9")
    assert rows[1][1].tolist() == [2, 1]
    assert prepared(det, "test", "det")[1][3][1].tolist() == [0, 1]


def test_detection_has_the_order_of_the_devkit(tmp_path):
    det = Folder(tmp_path / "downloads" / "manual" / "ILSVRC", "DET")
    det.devkit("map_det.txt", "n9 2 wine bottle\nn2 1 accordion\n\nn5 3 zebra\n")
    det.add("train/n9_1", [("n9", 0, 0, 9, 9)], grey=10)
    det.add("val/ILSVRC2012_val_00000001", [("n2", 1, 2, 3, 4)], grey=20)
    source, rows = prepared(det, "train+validation", "det")
    assert source.class_names == ("accordion", "wine bottle", "zebra")
    assert rows[1][1].tolist() == [1]


def test_a_detector_has_the_names_of_the_prepared_classes(tmp_path):
    det = Folder(tmp_path / "downloads" / "manual" / "ILSVRC", "DET")
    det.devkit("map_det.txt", "n9 2 wine bottle\nn2 1 accordion\n")
    det.add("train/n9_1", [("n9", 0, 0, 9, 9)], grey=10)
    det.add("val/ILSVRC2012_val_00000001", [("n2", 1, 2, 3, 4)], grey=20)
    prepared(det, "test", "det")
    own = runs.load_recipe(recipes.find("overfeat_detect_imagenet")).config()
    config = with_class_names({**own, "data_dir": str(tmp_path)}, own)
    assert config["class_names"] == ("accordion", "wine bottle")
    assert config["classes"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation><object>", "isn't a whole annotation of ImageNet"),
        ("", "isn't a whole annotation of ImageNet"),
        ("<a><object><name>n01440764</name></object></a>", "isn't a whole annotation"),
        ("<a><object><bndbox/></object></a>", "isn't a whole annotation"),
        ("<a><size><width>many</width></size></a>", "isn't a whole annotation"),
        (
            "<a><object><name>n1</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
            "<ymax>2</ymax></bndbox></object></a>",
            "'n1' is none of the 1000 classes",
        ),
    ],
)
def test_bad_annotations_are_named(loc, content, message):
    file = loc.file(f"train/{FISH}/{FISH}_1")
    file.write_text(content)
    with pytest.raises(UserError, match=rf"{file}.* {message}") as error:
        prepared(loc, "train")
    assert "\n" not in str(error.value)


def test_bad_annotations_are_named_while_classes_are_looked_for(tmp_path):
    det = Folder(tmp_path / "downloads" / "manual" / "ILSVRC", "DET")
    det.add("train/n9_1", [("n9", 0, 0, 9, 9)])
    det.add("val/ILSVRC2012_val_00000001", [])
    det.file("train/n9_1").write_text("<annotation>")
    with pytest.raises(UserError, match=r"n9_1\.xml isn't a whole annotation of ImageNet"):
        prepared(det, "train", "det")


def test_bad_images_are_named(loc):
    file = loc.image(f"train/{FISH}/{FISH}_1")
    file.write_bytes(b"GIF98a, no")
    with pytest.raises(UserError, match=f"{file} isn't a readable image"):
        prepared(loc, "train")


def test_a_folder_that_is_something_else(tmp_path):
    where = tmp_path / "downloads" / "manual"
    where.mkdir(parents=True)
    with pytest.raises(UserError, match=r"couldn't be prepared .* into \S+/downloads/manual"):
        open_boxes("imagenet_boxes/loc", "train", data_dir=tmp_path, download=True)
    (where / "images.zip").touch()
    with pytest.raises(UserError, match="ILSVRC/Annotations/DET/train has no annotations"):
        open_boxes("imagenet_boxes/det", "train", data_dir=tmp_path, download=True)
