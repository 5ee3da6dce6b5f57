"""A folder of images, one subfolder per class, as a source.

    PATH/cat/1.jpg                     or    PATH/train/cat/1.jpg
    PATH/dog/2.png                           PATH/val/dog/2.png ("validation" will do, too)
                                             PATH/test/...

On the right, splits are those of `splits.choose`. On the left, and where some images are
held out of `train`, the name of a file decides: a tenth of them are validation, another
tenth, on the left, test. So adding a file moves no other, and no image seen in training is
ever tested on after more have come.
"""

import hashlib
import os

import tensorflow as tf

from tfcnns.errors import UserError

from .imagenet_classes import readable
from .source import Encoded, Source, on_cpu
from .splits import choose

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def open_folder(path, split):
    """The images below `path` as a source of `Encoded` files, ordered by class and name.

    Classes are the subfolders by name, for all splits alike; identifiers of ImageNet's
    classes become their names. Files with other endings than `ENDINGS`, and hidden ones,
    are left out.

    Raises: UserError, naming the folder, if it holds no such images.
    """
    path = os.path.expanduser(path)
    parts = {PARTS[name]: os.path.join(path, name) for name in _subfolders(path) if name in PARTS}
    if "train" in parts and _subfolders(parts["train"]):
        names, held = choose(split, list(parts), path)
        roots, classes = [parts[name] for name in names], _subfolders(parts["train"])
        kinds = {True: {"validation"}, False: {"train", "test"}}.get(held, set(PARTS.values()))
    else:
        names, _ = choose(split, ["train", "validation", "test"], path)
        roots, classes, kinds = [path], _subfolders(path), set(names)
    files, labels = [], []
    for root in roots:
        for name in _subfolders(root):
            if name not in classes:
                raise UserError(f"{os.path.join(root, name)} is none of the {len(classes)} classes")
            found = [f for f in _images(os.path.join(root, name)) if _kind(f"{name}/{f}") in kinds]
            files += [os.path.join(root, name, file) for file in found]
            labels += [classes.index(name)] * len(found)
    if not files:
        raise UserError(
            f"{path} has no {split} images; expected subfolders, one per class, with files "
            f"that end in {', '.join(ENDINGS)}"
        )
    paths, numbers = on_cpu(files), on_cpu(labels, tf.int64)

    def example(index):
        return Encoded(tf.io.read_file(paths[index]), paths[index]), numbers[index]

    return Source(example, len(files), readable(classes))


def _kind(name):
    """The split of a file, by its name alone."""
    tenth = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()) % 10
    return {0: "test", 1: "validation"}.get(tenth, "train")


def _subfolders(path):
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise UserError(f"can't read folder {path}: {error.strerror}") from error


def _images(path):
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    return sorted(name for name in names if name.lower().endswith(ENDINGS))
