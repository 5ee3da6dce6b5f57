"""Every data set of the recipes, by name.

| name | images | "test" | "validation" |
|---|---|---|---|
| digits | arrays of any size | 400 of 1,797 | 150 |
| mnist, cifar10, cifar100 | arrays | 10,000 | the last 10,000 training images |
| svhn_cropped | arrays | 26,032 | 400 per class of train, 200 of extra, as pylearn2 draws |
| imagenet2012 | encoded | the 50,000 of the challenge's validation | every 128th training image |
| folder:PATH | encoded | see `folder` | |
| records:PATH | encoded | see `splits.choose` | every tenth training image, or its own |

"train" is the rest of the training images, "train+validation" all of them. AlexNet and
OverFeat trained on "train+validation" and report what is "test" here, whose labels are
public; nothing in the papers holds images out, so the 10,009 that are is a choice made here.
"""

import numpy as np

from tfcnns.errors import UserError
from tfcnns.nearest import nearest

from .arrays import open_arrays
from .digits import CLASS_NAMES, load_digits
from .folder import open_folder
from .prepared import builder_in, open_builder, open_images
from .source import from_arrays
from .splits import choose

ARRAYS = ("mnist", "cifar10", "cifar100", "svhn_cropped")
NAMES = ("digits", *ARRAYS, "imagenet2012", "folder:PATH", "records:PATH")


def open_dataset(name, split, *, data_dir=None, download=False, size=8, channels=1):
    """One split of a data set as a `source.Source`.

    Args:
        name: one of `NAMES`. records:PATH is the folder of anything that
            tensorflow-datasets has prepared, or was given metadata for, with an image and a
            label: .../imagenette/320px-v2/1.0.0.
        split: "train", "validation", "train+validation" or "test".
        data_dir: where tensorflow-datasets' prepared data sets are; None for its own
            choice, $TFDS_DATA_DIR or ~/tensorflow_datasets.
        download: whether to download and prepare what isn't there.
        size, channels: of the digits, which come in any: side in pixels, and 1, or 3 for
            grey repeated. Other data sets have their own.

    Raises: UserError, in one line, for an unknown name or split, and for a data set that
        isn't there or is damaged, saying what to do.
    """
    kind, _, path = name.partition(":")
    if kind == "folder" and path:
        return open_folder(path, split)
    if kind == "records" and path:
        return open_images(builder_in(path), split)
    if name == "digits":
        return _digits(split, size, channels)
    if name in ARRAYS:
        return open_arrays(open_builder(name, data_dir, download), split)
    if name == "imagenet2012":
        # Its part "test" has no labels.
        builder = open_builder(name, data_dir, download)
        return open_images(builder, split, every=128, available=["train", "validation"])
    raise UserError(f"unknown data set {name!r}{nearest(name, NAMES)}")


def _digits(split, size, channels):
    if channels not in (1, 3):
        raise UserError(f"channels must be 1 or 3. Received: channels={channels}")
    choose(split, ["train", "validation", "test"], "digits")
    parts = [load_digits(part, size) for part in split.split("+")]
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return from_arrays(np.repeat(images, channels, axis=-1), labels, CLASS_NAMES)
