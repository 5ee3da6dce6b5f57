"""Every data set with boxes, by name.

| name | images | "test" | "validation" |
|---|---|---|---|
| digit_scenes, digit_scenes/single | grey arrays, 1 to 6 digits or one | 500 | 500 |
| voc/2007 | encoded | 4,952 | 2,510 |
| voc/2012 | encoded | the 5,823 of the challenge's validation | every tenth training image |
| coco/2017 | encoded | the 5,000 of its validation | every 50th training image |
| imagenet_boxes/loc, .../det | encoded | the challenge's validation | every 128th training image |

The test images of the last four have no public boxes. "train" is the rest of the training
images, "train+validation" all of them. `box_source` says what an example is.
"""

import contextlib
import functools
import io
import os
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tfcnns.errors import UserError
from tfcnns.nearest import nearest

from . import boxes as box_rules
from .box_source import boxes_of, from_scenes
from .box_table import open_table
from .digit_scenes import SCENES, DigitScenes, open_digit_scenes
from .digits import CLASS_NAMES
from .imagenet_boxes import ImagenetBoxes
from .imagenet_classes import readable
from .prepared import open_builder, open_records
from .source import Encoded, Source
from .splits import choose, rows


class _Set(NamedTuple):
    parts: tuple  # those with boxes
    every: int  # which training images are held out where there is no test set
    corner: int = 0  # the coordinates of the first pixel's upper left corner


SETS = {
    "voc/2007": _Set(("train", "validation", "test"), 10, corner=1),
    "voc/2012": _Set(("train", "validation"), 10, corner=1),
    "coco/2017": _Set(("train", "validation"), 50),
    "imagenet_boxes/loc": _Set(("train", "validation"), 128),
    "imagenet_boxes/det": _Set(("train", "validation"), 128),
}
NAMES = ("digit_scenes", "digit_scenes/single", *SETS)

_painted = functools.lru_cache(maxsize=6)(open_digit_scenes)  # 4,000 scenes take seconds


def open_boxes(
    name,
    split,
    *,
    data_dir=None,
    download=False,
    crowds=False,
    max_boxes=None,
    channels=1,
    examples=None,
):
    """One split of a data set with boxes as a `source.Source` of (image, boxes, labels).

    Args:
        name: one of `NAMES`.
        split: "train", "validation", "train+validation" or "test".
        data_dir: where tensorflow-datasets' prepared data sets are; None for its own choice,
            $TFDS_DATA_DIR or ~/tensorflow_datasets. Digit scenes need none: without it they
            are painted in memory, in seconds, and the same.
        download: whether to prepare what isn't there. VOC and COCO are fetched for that;
            ImageNet has to lie in data_dir/downloads/manual/ILSVRC.
        crowds: whether to keep boxes of crowds (COCO) and those too difficult to count (VOC).
            Examples are (image, boxes, labels, crowd) then, as in `box_source`: to measure with,
            and to train with, where they would otherwise count as background.
        max_boxes: how many boxes examples are padded to; None for the most that an image has.
        channels: of the digit scenes; 1, or 3 for grey repeated.
        examples: only so many, the first ones; None for all. Digit scenes beyond aren't painted.

    Boxes are cleaned as `boxes.clean` does, and what was wrong is told in the log. VOC counts
    pixels from 1; here the first pixel is 0 to 1, so VOC's 1, 1, W, H becomes 0, 0, W, H.

    Raises: UserError, in one line, for an unknown name or split, and for a data set that isn't
        there or is damaged, saying what to do.
    """
    if name not in NAMES:
        raise UserError(f"unknown data set with boxes {name!r}{nearest(name, NAMES)}")
    if name in SETS:
        source = _photographs(name, split, data_dir, download, crowds, max_boxes)
    elif crowds:
        raise UserError(f"{name} has no crowds. Received: crowds=True")
    else:
        source = _digit_scenes(name, split, data_dir, download, max_boxes, channels, examples)
    if examples is None or examples >= len(source):
        return source
    return source.part(np.arange(examples))


def _photographs(name, split, data_dir, download, crowds, max_boxes):
    if name.startswith("imagenet_boxes"):
        builder = _imagenet_builder(name, data_dir, download)
    else:
        builder = open_builder(name, data_dir, download)
    known = SETS[name]
    where = str(builder.data_path)
    names, held = choose(split, known.parts, where)
    read, examples = open_records(builder, names)
    table = open_table(builder, names, read, examples)
    class_names = readable(builder.info.features["objects"]["label"].names)

    image_of = np.repeat(np.arange(examples), table.counts)
    boxes, kept, counts = box_rules.clean(
        table.boxes - [known.corner, known.corner, 0, 0],
        table.labels,
        table.shapes[image_of],
        len(class_names),
        crowd=None if crowds else table.crowd,
        where=where,
    )
    box_rules.log(counts, len(table.boxes), f"{name} {'+'.join(names)}")
    lookup = boxes_of(
        boxes,
        table.labels[kept],
        np.bincount(image_of[kept], minlength=examples),
        max_boxes,
        table.crowd[kept] if crowds else None,
    )
    whole = {"image": tfds.decode.SkipDecoding()}

    def example(index):
        record, file = read(index)
        features = builder.info.features.deserialize_example(record, decoders=whole)
        return Encoded(features["image"], file), *lookup(index)

    source = Source(example, examples, class_names)
    return source if held is None else source.part(rows(held, examples, known.every, where))


def _imagenet_builder(name, data_dir, download):
    builder = ImagenetBoxes(config=name.partition("/")[2], data_dir=_expanded(data_dir))
    if builder.is_prepared():
        return builder
    folder = _root(builder)
    how = f"put ILSVRC of image-net.org, or a link to it, into {folder}/downloads/manual"
    if not download:
        raise UserError(f"{name} isn't prepared in {folder}: {how}, then add --download")
    try:
        builder.download_and_prepare()
    except (OSError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{name} couldn't be prepared ({reason}); {how}") from error
    return builder


def _digit_scenes(name, split, data_dir, download, max_boxes, channels, examples):
    config = name.partition("/")[2] or "all"
    objects = DigitScenes.builder_configs[config].objects
    choose(split, ["train", "validation", "test"], name)
    if data_dir is None and not download:
        if examples is not None:
            examples = min(examples, min(SCENES[part] for part in split.split("+")))
        return _painted(split, examples, objects=objects, channels=channels, max_boxes=max_boxes)
    builder = DigitScenes(config=config, data_dir=_expanded(data_dir))
    if not builder.is_prepared():
        if not download:
            raise UserError(
                f"{name} isn't prepared in {_root(builder)}: add --download, which paints it "
                "there, or leave --data_dir out, since it needs none"
            )
        with _silence():
            builder.download_and_prepare()
    images, boxes, labels = [], [], []
    for part in split.split("+"):
        for one in tfds.as_numpy(builder.as_dataset(split=part, shuffle_files=False)):
            images.append(np.repeat(one["image"], channels, axis=-1))
            boxes.append(box_rules.from_relative(one["objects"]["bbox"], one["image"].shape[:2]))
            labels.append(one["objects"]["label"])
    return from_scenes(images, boxes, labels, CLASS_NAMES, max_boxes or objects[1])


def _expanded(data_dir):
    return data_dir and os.path.expanduser(data_dir)


def _root(builder):
    """The folder that holds prepared data sets; NAME/CONFIG/VERSION are below it."""
    return pathlib.Path(builder.data_dir).parents[2]


@contextlib.contextmanager
def _silence():
    """Without TFDS' progress bars and announcements, for what takes seconds."""
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(True)
