"""Image files that a server is sent, decoded in its graph, where there is no Python.

The pixels are those of `images.decode`, but for two things that need Python: a photograph that
its camera marks as lying on a side stays as it is stored, and files are JPEG or PNG. What else
comes, is damaged, or has more than `images.MAX_PIXELS` pixels by its header ends the call with
tf.errors.InvalidArgumentError, before anything large is decoded.
"""

import typing

import tensorflow as tf

from .images import MAX_PIXELS

EXPECTED = f"expected a whole JPEG or PNG file of at most {MAX_PIXELS:,} pixels"
JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"


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
    is_png = tf.strings.substr(image.data, 0, len(PNG_START)) == PNG_START
    data = require(known | is_png, image.data, [image.name, EXPECTED])
    shape = tf.cond(
        known, lambda: tf.io.extract_jpeg_shape(data)[:2], lambda: _png_shape(data, image.name)
    )
    data = require(fits(shape), data, [image.name, EXPECTED, "rows and columns:", shape])
    shape = tf.ensure_shape(shape, [2])
    return tf.cond(known, lambda: from_jpeg(data, shape), lambda: from_png(data))


def is_jpeg(data):
    """Whether bytes begin as those of a JPEG do."""
    return tf.strings.substr(data, 0, len(JPEG_START)) == JPEG_START


def decode_png(data, background=255):
    """A PNG as uint8 (H, W, 3), what is transparent laid over the grey level `background`."""

    def blended():
        image = tf.cast(tf.io.decode_png(data, channels=4), tf.int32)
        alpha = image[..., 3:]
        blend = image[..., :3] * alpha + background * (255 - alpha)
        return tf.cast((blend + 127) // 255, tf.uint8)

    return tf.cond(_is_transparent(data), blended, lambda: tf.io.decode_png(data, channels=3))


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
    return tf.reverse(_integers(tf.strings.substr(data, 16, 8)), [0])


def _is_transparent(data):
    """Whether a PNG has an alpha channel, or a tRNS chunk before its pixels."""
    colour = tf.io.decode_raw(tf.strings.substr(data, 25, 1), tf.uint8)[0]
    last = tf.strings.length(data) - 8  # where a chunk may begin; one that is cut off may lead on

    def kind(position):
        return tf.strings.substr(data, tf.minimum(position, last) + 4, 4)

    def more(position):
        return (position <= last) & (kind(position) != b"tRNS") & (kind(position) != b"IDAT")

    def after(position):
        length = _integers(tf.strings.substr(data, position, 4))[0]
        length = tf.clip_by_value(length, 0, last)
        return (position + 12 + length,)  # its length, kind and checksum

    (position,) = tf.while_loop(more, after, [tf.constant(8)])
    return (colour == 4) | (colour == 6) | (kind(position) == b"tRNS")


def _integers(data):
    return tf.io.decode_raw(data, tf.int32, little_endian=False)
