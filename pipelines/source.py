"""What a data set is to a recipe: so many examples, each to be had by its number."""

import dataclasses
import typing
from collections.abc import Callable

import tensorflow as tf


class Encoded(typing.NamedTuple):
    """An image as the bytes of its file, for the functions of `jpeg`.

    data: string (), the bytes. name: string (), what errors call the image.
    """

    data: tf.Tensor
    name: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Source:
    """Labelled images in random access.

    example: function of an int64 scalar, 0 <= index < len(source), called inside tf.data;
        returns (image, label). image: uint8 (H, W, C) of known shape, or `Encoded` where
        pictures have sizes of their own; label: int64 ().
    examples: how many there are.
    class_names: what the labels 0, 1, ... mean, for people.

    Example:
        source = open_dataset("cifar10", "train", data_dir="data")
        def example(index, seed):
            image, label = source.example(index)
            return random_flip(image, seed), label
        stream = batches(example, len(source), 128, shuffle=True)
    """

    example: Callable
    examples: int
    class_names: tuple

    def __len__(self):
        return self.examples

    @property
    def classes(self):
        """How many classes there are."""
        return len(self.class_names)

    def part(self, rows):
        """The source of the examples `rows`, integers (n,), in that order."""
        rows = on_cpu(rows, tf.int64)
        return Source(lambda index: self.example(rows[index]), len(rows), self.class_names)

    def dataset(self):
        """tf.data.Dataset of every (image, label) once and in order, such as statistics need."""
        return tf.data.Dataset.range(len(self)).map(
            self.example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )


def from_arrays(images, labels, class_names):
    """The source of uint8 images (N, H, W, C) with labels (N,), all in memory."""
    images, labels = on_cpu(images), on_cpu(labels, tf.int64)
    return Source(lambda index: (images[index], labels[index]), len(labels), tuple(class_names))


def on_cpu(values, dtype=None):
    """A tensor in the memory that tf.data works in, also where there is a GPU."""
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(values, dtype)
