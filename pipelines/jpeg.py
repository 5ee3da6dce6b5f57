"""Crops of photographs, scaled as the papers scale them, from the bytes of image files.

AlexNet and OverFeat scale every image to a shorter side of 256 pixels and train on crops of
that. Here a JPEG is decoded only where its crop lies, and only the crop is resized, a quarter
less work; `windows` says why the pixels are the same. Files of other kinds, photographs that
their camera marks as lying on a side, and damaged files go through `images.decode`, so
training sees what `predict` and `images.read_image` see, and errors name the file. Damage
below a crop isn't read, and goes unnoticed until a crop shows it.

Every function takes `Encoded` bytes or an array, uint8 (H, W, C), so that a recipe for
photographs runs on digits too. All are meant for tf.data.
"""

import os

import tensorflow as tf

from . import images, transforms
from .attempt import attempt
from .source import Encoded
from .windows import sample, source_box

# In the Exif header of a camera: orientation, one short number, 2 to 8; little- or big-endian.
LYING = (
    r"\C*(\x12\x01\x03\x00\x01\x00\x00\x00[\x02-\x08]"
    r"|\x01\x12\x00\x03\x00\x00\x00\x01\x00[\x02-\x08])\C*"
)
EXIF_BYTES = 4096  # where that header lies, if there is one


def random_crop(image, size, seed, *, short_side=256, square=False):
    """A (size, size, C) piece, uint8, anywhere in the image scaled to `short_side`.

    Args:
        image: `Encoded`, or uint8 (H, W, C).
        size: side of the piece in pixels, at most `short_side`.
        seed: int32 (2,).
        short_side: shorter side of the scaled image in pixels.
        square: whether the piece lies in the middle square of the scaled image (AlexNet,
            section 4.1), or anywhere (OverFeat).

    The place is that of `transforms.random_crop` on the scaled image, or its middle square,
    with the same seed.
    """

    def corner(resized):
        if square:
            margin = (resized - short_side) // 2
            return margin + transforms.random_offset([short_side - size] * 2, seed)
        return transforms.random_offset(resized - size, seed)

    return _crop(image, size, short_side, corner)


def center_crop(image, size, *, short_side=256):
    """The middle (size, size, C), uint8, of the image scaled to `short_side`."""
    return _crop(image, size, short_side, lambda resized: (resized - size) // 2)


def decode(image):
    """The whole image, uint8 (H, W, C), upright; H and W are unknown before it runs."""
    if not isinstance(image, Encoded):
        return tf.convert_to_tensor(image)

    def plain(data, name):
        _check(data)
        return tf.io.decode_jpeg(data, channels=3)

    return attempt(plain, _decode_any, *image)


def _crop(image, size, short_side, corner_in):
    if size > short_side:
        raise ValueError(f"crop expects size <= {short_side}, the short side. Received: {size}")

    def window(shape):
        resized = transforms.short_side_shape(shape, short_side)
        scale = tf.cast(resized, tf.float32) / tf.cast(shape, tf.float32)
        return scale, corner_in(resized)

    def from_jpeg(data, name):
        shape = _check(data)
        scale, corner = window(shape)
        begin, end = source_box(shape, scale, corner, size)
        pixels = tf.io.decode_and_crop_jpeg(data, tf.concat([begin, end - begin], 0), channels=3)
        return sample(pixels, begin, scale, corner, size)

    def from_pixels(pixels):
        shape = tf.shape(pixels)[:2]
        scale, corner = window(shape)
        begin, end = source_box(shape, scale, corner, size)
        pixels = pixels[begin[0] : end[0], begin[1] : end[1]]
        return sample(pixels, begin, scale, corner, size)

    if isinstance(image, Encoded):
        return attempt(from_jpeg, lambda *file: from_pixels(_decode_any(*file)), *image)
    return from_pixels(tf.convert_to_tensor(image))


def _check(data):
    """Rows and columns of a JPEG; fails if it isn't one, lies on a side, or is too large."""
    shape = tf.io.extract_jpeg_shape(data)[:2]
    lying = tf.strings.regex_full_match(tf.strings.substr(data, 0, EXIF_BYTES), LYING)
    tf.debugging.Assert(~lying, ["turned by its camera"])
    tf.debugging.Assert(tf.reduce_prod(tf.cast(shape, tf.int64)) <= images.MAX_PIXELS, ["large"])
    return shape


def _decode_any(data, name):
    def decode(data, name):
        return images.decode(data, os.fsdecode(name))

    return tf.ensure_shape(tf.numpy_function(decode, [data, name], tf.uint8), [None, None, 3])
