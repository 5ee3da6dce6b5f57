"""Image files that a server is sent, decoded in its graph, where there is no Python.

The pixels are those of `images.decode`, which decodes JPEG and PNG here; other files need Python.
What else comes, is damaged, or has more than MAX_PIXELS pixels by its header ends the call with
tf.errors.InvalidArgumentError, before anything large is decoded.
"""

import typing

import tensorflow as tf

from .orientation import is_jpeg, is_png, orientation, png_chunk, upright
from .strips import over

WHITE = 255
MAX_PIXELS = 64_000_000  # up to 12 bytes of each are needed at a time
EXPECTED = f"expected a whole JPEG or PNG file of at most {MAX_PIXELS:,} pixels"


class Served(typing.NamedTuple):
    """An image as the bytes of its file inside an exported graph, for the functions of `jpeg`.

    data: string (), the bytes. name: string (), what errors call the image.
    """

    data: tf.Tensor
    name: tf.Tensor


def by_kind(image, from_jpeg, from_png):
    """from_jpeg(data, shape) or from_png(data): tensors of the same kind, of checked bytes.

    image: `Served`. data: string (). shape: int32 (2,), rows and columns.
    """
    known = is_jpeg(image.data)
    data = require(known | is_png(image.data), image.data, [image.name, EXPECTED])
    shape = tf.cond(
        known, lambda: tf.io.extract_jpeg_shape(data)[:2], lambda: _png_shape(data, image.name)
    )
    data = require(fits(shape), data, [image.name, EXPECTED, "rows and columns:", shape])
    shape = tf.ensure_shape(shape, [2])
    return tf.cond(known, lambda: from_jpeg(data, shape), lambda: from_png(data))


def decode(image):
    """A whole `Served` file, uint8 (H, W, 3), upright; H and W are unknown before it runs."""
    return by_kind(image, lambda data, _: decode_jpeg(data), lambda data: decode_png(data, WHITE))


@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def decode_jpeg(data):
    """The bytes of a JPEG as uint8 (H, W, 3), upright."""
    return upright(tf.io.decode_jpeg(data, channels=3), orientation(data))


@tf.function(
    input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int32)], autograph=False
)
def decode_png(data, background):
    """Those of a PNG, upright; what is transparent lies over the grey level `background`."""
    image = tf.cond(
        _is_transparent(data),
        lambda: over(tf.io.decode_png(data, channels=4), background),
        lambda: tf.io.decode_png(data, channels=3),
    )
    return upright(image, orientation(data))


def require(condition, data, said):
    """`data`, for whoever works on it to wait until the condition has been found true."""
    with tf.control_dependencies([tf.debugging.Assert(condition, said)]):
        return tf.identity(data)


def fits(shape):
    """Whether an image of `shape` pixels has some, and not too many."""
    rows, columns = tf.unstack(tf.cast(shape, tf.int64), num=2)
    return (rows > 0) & (columns > 0) & (rows <= MAX_PIXELS // tf.maximum(columns, 1))


def _png_shape(data, name):
    # Its first chunk, IHDR, begins with width and height.
    data = require(tf.strings.length(data) >= 33, data, [name, EXPECTED])
    return tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)[::-1]


def _is_transparent(data):
    """Whether a PNG has an alpha channel, or a tRNS chunk before its pixels."""
    colour = tf.io.decode_raw(tf.strings.substr(data, 25, 1), tf.uint8)[0]
    _, kind = png_chunk(data, [b"tRNS", b"IDAT"])
    return (colour == 4) | (colour == 6) | (kind == b"tRNS")
