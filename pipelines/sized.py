"""The images of a source at the one size that a small net takes."""

import dataclasses

import tensorflow as tf

from tfcnns.errors import UserError

from . import jpeg
from .image_files import printable
from .images import read_header
from .orientation import upright_shape
from .source import Encoded

HINT = "add --set resize=true to scale and cut them"


def sized(source, shape, resize=False, where="data"):
    """The source of the same images, uint8 of `shape`, (H, W, C).

    Args:
        source: a `source.Source`, of arrays or of `Encoded` files.
        shape: what its images have to be; files turn grey for one channel.
        resize: whether images of other sizes are scaled to cover it, their middle cut out.
        where: what errors call the source.

    Raises: UserError if its images are of another size and not to be resized. Of files the first
        one is looked at; one that differs later is named when it is read.
    """
    *size, channels = shape
    spec = source.dataset().element_spec[0]
    encoded = isinstance(spec, Encoded)
    if not encoded and spec.shape == tuple(shape):
        return source
    if not encoded and (not resize or spec.shape[-1] != channels):
        raise UserError(f"{where} has images of {tuple(spec.shape)}, not {tuple(shape)}")
    if encoded and not resize:
        file, _ = source.dataset().take(1).get_single_element()
        name = printable(file.name.numpy())
        found = upright_shape(*read_header(file.data.numpy(), name))
        _check(found, size, f"{where} has images of other sizes: {name}")
    see = jpeg.cover if resize else _exactly

    def example(index):
        image, *rest = source.example(index)
        return see(image, size, channels), *rest

    return dataclasses.replace(source, example=example)


def _exactly(image, size, channels):
    """A whole file, uint8 (*size, C), which has to have that size."""
    decoded = jpeg.decode(image, channels)

    def refuse(shape, name):
        _check(shape[:2].tolist(), size, printable(name))

    def refused():
        with tf.control_dependencies(
            [tf.numpy_function(refuse, [tf.shape(decoded), image.name], [])]
        ):
            return tf.identity(decoded)

    fits = tf.reduce_all(tf.shape(decoded)[:2] == size)
    return tf.ensure_shape(tf.cond(fits, lambda: decoded, refused), [*size, channels])


def _check(found, size, what):
    if list(found) != list(size):
        raise UserError(
            f"{what} has {found[1]} x {found[0]} pixels, expected {size[1]} x {size[0]}; {HINT}"
        )
