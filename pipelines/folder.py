"""A folder of images, one subfolder per class, as a source.

    PATH/cat/1.jpg                     or    PATH/train/cat/1.jpg
    PATH/dog/2.png                           PATH/val/dog/2.png ("validation" will do, too)
                                             PATH/test/...

On the right, splits are those of `splits.choose`. On the left, and where some images are
held out of `train`, the name of a file decides: a tenth of them are validation, another
tenth, on the left, test. So adding a file moves no other, and no image seen in training is
ever tested on after more have come.
"""

import collections
import hashlib
import os

import tensorflow as tf

from tfcnns.errors import UserError

from .image_files import ENDINGS, images_in, printable, told, warn
from .imagenet_classes import readable
from .source import Encoded, Source, on_cpu
from .splits import choose

PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def open_folder(path, split):
    """The images below `path` as a source of `Encoded` files, ordered by class and name.

    Classes are the subfolders by name, for all splits alike; identifiers of ImageNet's
    classes become their names. Only images, by `ENDINGS`, that lie in a class's folder itself
    are read. The log says once what else there is, and which classes have no image; hidden files
    are passed over.

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
    files, labels, left_out, without = [], [], collections.Counter(), []
    for root in roots:
        for name in _subfolders(root):
            folder = os.path.join(root, name)
            if name not in classes:
                raise UserError(f"{printable(folder)} is none of the {len(classes)} classes")
            images, others = _images(folder)
            left_out += others
            if not images:
                without.append(f"{printable(name)} ({told(others) or 'empty'})")
            found = [f for f in images if _kind(f"{name}/{os.path.basename(f)}") in kinds]
            files += found
            labels += [classes.index(name)] * len(found)
    where = printable(path)
    said = [f"left out {told(left_out)}"] if left_out else []
    if without:
        said.append(f"no images of {len(without)} of {len(classes)} classes: {', '.join(without)}")
    if not files:
        raise UserError(
            f"{where} has no {split} images; expected subfolders, one per class, with files "
            f"that end in {', '.join(ENDINGS)}" + "".join(f"; {one}" for one in said)
        )
    if said:
        warn(f"{where}: {'; '.join(said)}")
    paths, numbers = on_cpu([os.fsencode(file) for file in files]), on_cpu(labels, tf.int64)

    def example(index):
        return Encoded(tf.io.read_file(paths[index]), paths[index]), numbers[index]

    return Source(example, len(files), readable(map(printable, classes)))


def _kind(name):
    """The split of a file, by its name alone."""
    tenth = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()) % 10
    return {0: "test", 1: "validation"}.get(tenth, "train")


def _subfolders(path):
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise UserError(f"can't read folder {printable(path)}: {error.strerror}") from error


def _images(folder):
    try:
        return images_in(folder)
    except OSError as error:
        raise UserError(f"can't read folder {printable(folder)}: {error.strerror}") from error
