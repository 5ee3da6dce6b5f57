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
from .orientation import is_jpeg, orientation
from .served import Served
from .source import Encoded
from .strips import grey
from .windows import sample, source_box


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
    coloured = grey if channels == 1 else tf.identity
    if not isinstance(image, (Encoded, Served)):
        return tf.convert_to_tensor(image)
    if isinstance(image, Served):
        return coloured(served.decode(image))
    return _attempt(
        lambda data, _: coloured(tf.io.decode_jpeg(data, channels=3)),
        lambda pixels: coloured(pixels),
        image,
    )


def _short_side(size, short_side):
    if size > short_side:
        raise ValueError(f"crop expects size <= {short_side}, the short side. Received: {size}")
    return lambda shape: transforms.short_side_shape(shape, short_side)


def _crop(image, size, resized_shape, corner_in, channels=3):
    coloured = grey if channels == 1 else tf.identity

    def window(shape):
        resized = resized_shape(shape)
        scale = tf.cast(resized, tf.float32) / tf.cast(shape, tf.float32)
        return scale, corner_in(resized)

    def from_jpeg(data, shape):
        scale, corner = window(shape)
        begin, end = source_box(shape, scale, corner, size)
        pixels = tf.io.decode_and_crop_jpeg(data, tf.concat([begin, end - begin], 0), channels=3)
        return sample(coloured(pixels), begin, scale, corner, size)

    def from_pixels(pixels):
        shape = tf.shape(pixels)[:2]
        scale, corner = window(shape)
        begin, end = source_box(shape, scale, corner, size)
        pixels = pixels[begin[0] : end[0], begin[1] : end[1]]
        return sample(pixels, begin, scale, corner, size)

    def from_decoded(pixels):
        return from_pixels(coloured(pixels))

    def from_any_jpeg(data, shape):
        return tf.cond(
            orientation(data) == 1,
            lambda: from_jpeg(data, shape),
            lambda: from_decoded(served.decode_jpeg(data)),
        )

    if isinstance(image, Served):
        return served.by_kind(
            image, from_any_jpeg, lambda data: from_decoded(served.decode_png(data, served.WHITE))
        )
    if isinstance(image, Encoded):
        return _attempt(from_jpeg, from_decoded, image)
    return from_pixels(tf.convert_to_tensor(image))


def _attempt(from_jpeg, from_decoded, image):
    """from_jpeg(data, shape) of an upright JPEG, from_decoded(uint8 (H, W, 3)) of other files.

    image: `Encoded`.
    """
    # What is attempted is set up anew for each image: it has to be short.
    return attempt(
        lambda data, name, mark: from_jpeg(*_checked(data, mark)),
        lambda data, name, mark: from_decoded(_decode_any(data, name)),
        *image,
        orientation(image.data),
    )


def _checked(data, mark):
    """A JPEG, and its rows and columns; fails if it is none, lies on a side, or is too large."""
    data = served.require(is_jpeg(data), data, ["no JPEG"])  # the decoder would print it
    data = served.require(mark == 1, data, ["turned by its camera"])
    shape = tf.io.extract_jpeg_shape(data)[:2]
    return served.require(served.fits(shape), data, ["too large"]), shape


def _decode_any(data, name):
    def decode(data, name):
        return images.decode(data, os.fsdecode(name))

    return tf.ensure_shape(tf.numpy_function(decode, [data, name], tf.uint8), [None, None, 3])
