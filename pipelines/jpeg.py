"""Crops of photographs, scaled as the papers scale them, from the bytes of image files.

AlexNet and OverFeat scale every image to a shorter side of 256 pixels and train on crops of
that. Here a JPEG is decoded only where its crop lies, and only the crop is resized, a quarter
less work; `windows` says why the pixels are the same. Files of other kinds, photographs that
their camera marks as lying on a side, and damaged files go through `images.decode`, so
training sees what `predict` and `images.read_image` see, and errors name the file. Damage
below a crop isn't read, and goes unnoticed until a crop shows it.

Every function takes `Encoded` bytes or an array, uint8 (H, W, C), so that a recipe for
photographs runs on digits too, and `Served` bytes, so that an exported graph sees what it was
tested on. All are meant for tf.data, or for that graph.
"""

import os

import tensorflow as tf

from . import images, served, transforms
from .attempt import attempt
from .served import Served
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
        image: `Encoded`, `Served`, or uint8 (H, W, C).
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

    return _crop(image, size, _short_side(size, short_side), corner)


def center_crop(image, size, *, short_side=256):
    """The middle (size, size, C), uint8, of the image scaled to `short_side`."""
    return _crop(image, size, _short_side(size, short_side), lambda resized: (resized - size) // 2)


def cover(image, size, channels=3):
    """The middle (*size, C), uint8, of the image scaled to just cover it; itself if it does.

    Args:
        image: as in `random_crop`.
        size: rows and columns, a pair.
        channels: of encoded images, 3 or, for grey, 1; an array keeps its own.
    """
    size = tuple(size)

    def resized(shape):
        return transforms.cover_shape(shape, size)

    if not isinstance(image, (Encoded, Served)) and tuple(image.shape[:2]) == size:
        return tf.convert_to_tensor(image)
    return _crop(image, size, resized, lambda resized: (resized - size) // 2, channels)


def decode(image, channels=3):
    """The whole image, uint8 (H, W, C); H and W are unknown before it runs.

    image, channels: as in `cover`. `Encoded` photographs come out upright.
    """
    grey = _grey if channels == 1 else tf.identity
    if isinstance(image, Served):
        return grey(
            served.by_kind(
                image, lambda data, _: tf.io.decode_jpeg(data, channels=3), served.decode_png
            )
        )
    if not isinstance(image, Encoded):
        return tf.convert_to_tensor(image)

    def plain(data, name):
        data, _ = _checked(data)
        return tf.io.decode_jpeg(data, channels=3)

    return grey(attempt(plain, _decode_any, *image))


def _short_side(size, short_side):
    if size > short_side:
        raise ValueError(f"crop expects size <= {short_side}, the short side. Received: {size}")
    return lambda shape: transforms.short_side_shape(shape, short_side)


def _crop(image, size, resized_shape, corner_in, channels=3):
    grey = _grey if channels == 1 else tf.identity

    def window(shape):
        resized = resized_shape(shape)
        scale = tf.cast(resized, tf.float32) / tf.cast(shape, tf.float32)
        return scale, corner_in(resized)

    def from_jpeg(data, shape):
        scale, corner = window(shape)
        begin, end = source_box(shape, scale, corner, size)
        pixels = tf.io.decode_and_crop_jpeg(data, tf.concat([begin, end - begin], 0), channels=3)
        return sample(grey(pixels), begin, scale, corner, size)

    def from_pixels(pixels):
        shape = tf.shape(pixels)[:2]
        scale, corner = window(shape)
        begin, end = source_box(shape, scale, corner, size)
        pixels = pixels[begin[0] : end[0], begin[1] : end[1]]
        return sample(pixels, begin, scale, corner, size)

    if isinstance(image, Served):
        return served.by_kind(
            image, from_jpeg, lambda data: from_pixels(grey(served.decode_png(data)))
        )
    if isinstance(image, Encoded):
        return attempt(
            lambda data, name: from_jpeg(*_checked(data)),
            lambda *file: from_pixels(grey(_decode_any(*file))),
            *image,
        )
    return from_pixels(tf.convert_to_tensor(image))


def _checked(data):
    """A JPEG, and its rows and columns; fails if it is none, lies on a side, or is too large."""
    data = served.require(served.is_jpeg(data), data, ["no JPEG"])  # the decoder would print it
    shape = tf.io.extract_jpeg_shape(data)[:2]
    lying = tf.strings.regex_full_match(tf.strings.substr(data, 0, EXIF_BYTES), LYING)
    data = served.require(~lying, data, ["turned by its camera"])
    return served.require(served.fits(shape), data, ["too large"]), shape


def _grey(image):
    return tf.image.rgb_to_grayscale(image)


def _decode_any(data, name):
    def decode(data, name):
        return images.decode(data, os.fsdecode(name))

    return tf.ensure_shape(tf.numpy_function(decode, [data, name], tf.uint8), [None, None, 3])
