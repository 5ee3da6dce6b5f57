"""ImageNet's localisation and detection sets for tensorflow-datasets, which has neither.

They are read from the folder that the challenge's archives make, ILSVRC2012 to 2017:

    ILSVRC/Annotations/CLS-LOC/train/n01440764/n01440764_10040.xml    and .../DET/...
    ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml
    ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_10040.JPEG
    ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG
    ILSVRC/devkit/data/...                                            if it is there

An image without an XML file has no boxes and isn't part of the set: of CLS-LOC's 1,281,167
training images 544,546 have one, and all that are validated on. The test images' are secret.
"""

import collections
import dataclasses
import logging
import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import tensorflow_datasets as tfds

from tfcnns.errors import UserError

from . import boxes as box_rules
from .imagenet_classes import imagenet_wnids
from .images import read_bytes, read_header
from .orientation import upright_boxes

BLACKLIST = "ILSVRC2015_clsloc_validation_blacklist.txt"


@dataclasses.dataclass(eq=False, kw_only=True)
class ImagenetBoxesConfig(tfds.core.BuilderConfig):
    """folder: what the challenge calls the set, CLS-LOC or DET."""

    folder: str


class ImagenetBoxes(tfds.core.GeneratorBasedBuilder):
    """Images with boxes: "loc", of their one class of 1,000, or "det", of 200 classes.

    Classes are WordNet identifiers, ascending, in "loc" as everywhere else. In "det" they are
    the names and in the order of the devkit's map_det.txt or, without that, the identifiers
    found. Images are kept as they are, boxes cleaned as by `boxes.clean`, and relative to the
    upright image. Of the images that are validated on, the 1,762 of the devkit's blacklist,
    which the challenge doesn't count, are left out if it is there.

    Raises: UserError, naming the file, for XML that can't be read or has an unknown class.

    Example:
        config = tfds.download.DownloadConfig(manual_dir="folder with ILSVRC in it")
        ImagenetBoxes(config="loc", data_dir="data").download_and_prepare(download_config=config)
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir holds ILSVRC, or a link to it, from image-net.org"
    BUILDER_CONFIGS = [  # noqa: RUF012
        ImagenetBoxesConfig(name="loc", folder="CLS-LOC", description="localisation"),
        ImagenetBoxesConfig(name="det", folder="DET", description="detection"),
    ]

    def _info(self):
        names = imagenet_wnids() if self.builder_config.folder == "CLS-LOC" else None
        box = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=names),
        }
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "image/filename": tfds.features.Text(),
                "objects": tfds.features.Sequence(box),
            }
        )
        return self.dataset_info_from_configs(
            description=__doc__,
            features=features,
            homepage="https://image-net.org/challenges/LSVRC",
        )

    def _split_generators(self, dl_manager):
        root = pathlib.Path(dl_manager.manual_dir) / "ILSVRC"
        folder = root / "Annotations" / self.builder_config.folder
        files = {part: sorted((folder / part).rglob("*.xml")) for part in ("train", "val")}
        for part, found in files.items():
            if not found:
                raise UserError(f"{folder / part} has no annotations; expected XML files there")
        if self.builder_config.folder == "CLS-LOC":
            self._classes = {wnid: n for n, wnid in enumerate(imagenet_wnids())}
            files["val"] = _without(files["val"], root / "devkit" / "data" / BLACKLIST)
        else:
            known = root / "devkit" / "data" / "map_det.txt"
            self._classes, names = _detection_classes(known, files["train"] + files["val"])
            self.info.features["objects"]["label"].names = names
        return {
            "train": self._generate_examples(root, "train", files["train"]),
            "validation": self._generate_examples(root, "val", files["val"]),
        }

    def _generate_examples(self, root, part, files):
        counts, boxes, missing = collections.Counter(), 0, 0
        folder = self.builder_config.folder
        for file in files:
            path = file.relative_to(root / "Annotations").with_suffix(".JPEG")
            if not (root / "Data" / path).exists():
                missing += 1
                continue
            objects, found, one = read_xml(file, root / "Data" / path, self._classes)
            counts, boxes = counts + one, boxes + found
            example = {"image": str(root / "Data" / path), "image/filename": path.as_posix()}
            yield path.as_posix(), {**example, "objects": objects}
        box_rules.log(counts, boxes, f"{folder} {part}")
        if missing:
            logging.getLogger(__name__).warning(
                "%s %s: %s of %s annotated images are missing and left out",
                folder,
                part,
                f"{missing:,}",
                f"{len(files):,}",
            )


def read_xml(file, image, classes):
    """The objects of one XML file of ImageNet, as TFDS' features, relative to the upright image.

    Coordinates there are numbers of pixels, from 0, the last one included.

    Args:
        file, image: paths of the XML and of its image.
        classes: {identifier: label}.

    Returns: a list of {"bbox", "label"}; how many boxes the file has; what `boxes.clean` counts.
    """
    stored, orientation = read_header(read_bytes(image), image)
    try:
        root = ElementTree.parse(file).getroot()
        # Some were annotated at another size than the image has.
        shape = [int(root.findtext(f"size/{side}", 0)) for side in ("height", "width")]
        objects = root.findall("object")
        names = [one.findtext("name").strip() for one in objects]
        edges = [
            [float(one.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]
            for one in objects
        ]
    except (ElementTree.ParseError, OSError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file} isn't a whole annotation of ImageNet: {error}") from error
    for name in names:
        if name not in classes:
            raise UserError(f"{file}: {name!r} is none of the {len(classes)} classes")
    if min(shape) < 1:
        shape = stored
    elif tuple(shape) != stored and tuple(shape) == stored[::-1]:
        orientation = 1  # drawn on the upright image
    labels = np.array([classes[name] for name in names], np.int64)
    edges = np.array(edges, np.float64).reshape(-1, 4)
    later = edges[:, 2:] >= edges[:, :2]  # the corner with the last pixel, also if swapped
    edges[:, 2:] += later
    edges[:, :2] += ~later
    cleaned, rows, counts = box_rules.clean(edges, labels, shape, len(classes), where=str(file))
    height, width = shape
    relative = cleaned[:, [1, 0, 3, 2]] / np.float64([height, width, height, width])
    relative = upright_boxes(relative, orientation)
    objects = [
        {"bbox": box, "label": label} for box, label in zip(relative, labels[rows], strict=True)
    ]
    return objects, len(names), counts


def _without(files, blacklist):
    """Validation files but those whose numbers are in the blacklist, if there is one."""
    if not blacklist.exists():
        return files
    listed = {f"ILSVRC2012_val_{int(number):08d}" for number in blacklist.read_text().split()}
    return [file for file in files if file.stem not in listed]


def _detection_classes(known, files):
    """{identifier: label} and the names of the labels."""
    if known.exists():  # lines such as "n02672831 1 accordion"
        rows = [line.split(None, 2) for line in known.read_text().splitlines() if line.strip()]
        rows.sort(key=lambda row: int(row[1]))
        return {wnid: n for n, (wnid, _, _) in enumerate(rows)}, [name for _, _, name in rows]
    names = set()
    for file in files:
        try:
            names.update(name.text.strip() for name in ElementTree.parse(file).iter("name"))
        except ElementTree.ParseError as error:
            raise UserError(f"{file} isn't a whole annotation of ImageNet: {error}") from error
    return {name: n for n, name in enumerate(sorted(names))}, sorted(names)
