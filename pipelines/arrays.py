"""The papers' small data sets, whole in memory, in the order and the splits of the papers.

tensorflow-datasets shuffles what it prepares, by a hash of each example's number, while the
papers hold out "the last 10,000 training images" of the files as published. Since the hash
is known, the published order is restored here.
"""

import functools
import hashlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfcnns.errors import UserError

from .prepared import builder_in, open_records
from .source import from_arrays, on_cpu
from .splits import choose

HELD_OUT = {"mnist": 6, "cifar10": 5, "cifar100": 5}  # the last 10,000 of 60,000 or 50,000
SVHN_HELD_OUT = {"train": 400, "extra": 200}  # of each class


def open_arrays(builder, split):
    """mnist, cifar10, cifar100 or svhn_cropped as a source of uint8 images (H, W, C).

    Training images of SVHN are its "train" and then its "extra" part, 598,388 without those
    held out: 1.9 GB, and twice that while they are read, which takes about a minute and is
    done once in a process. The other data sets take up to 160 MB.

    Raises: UserError if the data set is damaged, or `split` isn't one of `splits.SPLITS`.
    """
    choose(split, ["train", "test"], builder.name)
    parts = ("test",) if split == "test" else ("train",)
    if builder.name == "svhn_cropped" and split != "test":
        parts = ("train", "extra")
    images, labels, sizes = _read(str(builder.data_path), parts)
    source = from_arrays(images, labels, builder.info.features["label"].names)
    if split in ("test", "train+validation"):
        return source
    if builder.name == "svhn_cropped":
        held = svhn_validation(np.split(labels.numpy(), np.cumsum(sizes)[:-1]))
    else:
        held = np.arange(len(labels))[-(len(labels) // HELD_OUT[builder.name]) :]
    if split == "validation":
        return source.part(held)
    return source.part(np.setdiff1d(np.arange(len(labels)), held))


def svhn_validation(labels):
    """The rows of train + extra that Maxout and NIN validate on, as pylearn2 draws them.

    labels: those of the two parts, in the order of their files. 400 images of each class are
    drawn from train, 200 from extra; rows count through both.
    """
    random = np.random.RandomState(322)
    rows, start = [], 0
    for part, count in zip(labels, SVHN_HELD_OUT.values(), strict=True):
        for label in (1, 2, 3, 4, 5, 6, 7, 8, 9, 0):  # the files call the digit 0 a 10
            of_class = np.flatnonzero(part == label)
            random.shuffle(of_class)
            rows.append(start + of_class[:count])
        start += len(part)
    return np.sort(np.concatenate(rows))


@functools.cache
def _read(folder, parts):
    """Images and labels of some parts, in the published order, and the parts' sizes."""
    builder = builder_in(folder)
    sizes = [builder.info.splits[part].num_examples for part in parts]
    shape = builder.info.features["image"].shape
    images = np.empty([sum(sizes), *shape], np.uint8)
    labels = np.empty([sum(sizes)], np.int64)
    start = 0
    try:
        for part, size in zip(parts, sizes, strict=True):
            order = start + published_order(part, size)
            for rows, batch in _in_batches(_examples(builder, part), order):
                images[rows], labels[rows] = batch["image"], batch["label"]
            start += size
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(f"{folder} is damaged or incomplete; prepare it again") from error
    return on_cpu(images), on_cpu(labels), sizes


def published_order(part, size):
    """int64 (size,): which example of the published file is at each place on the disk."""
    hashes = [hashlib.md5(f"{part}{number}".encode()).digest() for number in range(size)]
    return np.array(sorted(range(size), key=hashes.__getitem__), np.int64)


def _examples(builder, part):
    """All examples of a part, decoded, in their order on the disk."""
    if builder.info.file_format.value == "tfrecord":
        one_by_one = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        return builder.as_dataset(split=part, read_config=one_by_one, shuffle_files=False)
    read, examples = open_records(builder, (part,))
    dataset = tf.data.Dataset.range(examples).map(lambda index: read(index)[0])
    return dataset.map(builder.info.features.deserialize_example, tf.data.AUTOTUNE)


def _in_batches(dataset, order, size=1000):
    start = 0
    for batch in dataset.batch(size).as_numpy_iterator():
        stop = start + len(batch["label"])
        yield order[start:stop], batch
        start = stop
    if start != len(order):
        raise ValueError(f"expected {len(order)} examples. Received: {start}")
