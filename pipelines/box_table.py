"""All boxes of a prepared data set in one table, read once and kept beside the data.

The boxes of a record lie behind its image: to know them all means to read everything once,
minutes for COCO. What is found is kept as `NAME.boxes.npz`, next to the data or, where that
can't be written, where `records` keeps its offsets, and read again when the data change.
"""

import contextlib
import logging
import os
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from . import records
from .boxes import from_relative
from .images import read_header
from .orientation import upright_shape

CROWDS = ("is_crowd", "is_difficult")  # COCO's and PASCAL's flags of boxes that don't count


class BoxTable(NamedTuple):
    """Boxes of N images one after another, M in all, as they are in the data.

    boxes: float64 (M, 4), x0, y0, x1, y1 in pixels. labels: int64 (M,). crowd: bool (M,).
    counts: int64 (N,), how many each image has. shapes: int64 (N, 2), height and width of
    the images, upright.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    counts: np.ndarray
    shapes: np.ndarray


def open_table(builder, names, read, examples):
    """The table of some parts of a data set with the features "image" and "objects".

    Args:
        builder: a prepared TFDS builder.
        names: the parts, such as ("train",).
        read, examples: as `prepared.open_records` returns them.

    Raises: UserError, naming the record, if an image can't be read.
    """
    name = f"{builder.name}-{'-'.join(names)}.boxes.npz"
    paths = [path for part in names for path in builder.info.splits[part].filepaths]
    status = [os.stat(path) for path in paths]
    stamps = np.array([(one.st_size, one.st_mtime_ns) for one in status], np.int64)
    places = [pathlib.Path(builder.data_path) / name]
    places.append(records.cache_place(places[0]))
    for place in places:
        found = _load(place, stamps)
        if found is not None:
            return found
    table = _read(builder, read, examples)
    _save(places, stamps, table)
    return table


def _read(builder, read, examples):
    logging.getLogger(__name__).info("reading %s boxes, once", builder.info.full_name)
    encoded = {"image": tfds.decode.SkipDecoding()}

    def example(index):
        record, name = read(index)
        features = builder.info.features.deserialize_example(record, decoders=encoded)
        objects = features["objects"]
        crowd = [objects[flag] for flag in CROWDS if flag in objects]
        crowd = crowd[0] if crowd else tf.zeros_like(objects["label"], tf.bool)
        return features["image"], name, objects["bbox"], objects["label"], crowd

    dataset = tf.data.Dataset.range(examples).map(example, tf.data.AUTOTUNE, deterministic=True)
    boxes, labels, crowds, shapes = [], [], [], []
    for data, name, box, label, crowd in dataset.prefetch(8).as_numpy_iterator():
        shapes.append(upright_shape(*read_header(data, os.fsdecode(name))))
        boxes.append(from_relative(box, shapes[-1]))
        labels.append(label)
        crowds.append(crowd)
    counts = np.array([len(label) for label in labels], np.int64)
    joined = (np.concatenate(parts) for parts in (boxes, labels, crowds))
    return BoxTable(*joined, counts, np.array(shapes, np.int64))


def _load(place, stamps):
    """The table that is kept at `place`, if it is there and of files with these stamps."""
    try:
        with np.load(place, allow_pickle=False) as kept:
            if np.array_equal(kept["stamps"], stamps):
                return BoxTable(*(kept[field] for field in BoxTable._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


def _save(places, stamps, table):
    """In the first place that can be written; nobody ever sees half a table."""
    for place in places:
        begun = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(begun, "wb") as file:
                np.savez(file, stamps=stamps, **table._asdict())
            os.replace(begun, place)
            return
        except OSError:
            with contextlib.suppress(OSError):
                begun.unlink()
