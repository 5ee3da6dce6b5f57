"""Image files as people have them, decoded the one way the whole package decodes.

JPEG and PNG by tf.io, as in exported graphs: other decoders differ by up to four levels on the
same JPEG. GIF, BMP, WebP and TIFF by Pillow.
"""

import contextlib
import functools
import struct

import numpy as np
import tensorflow as tf

from tfcnns.errors import UserError

from . import by_pillow, served
from .image_files import printable
from .orientation import JPEG_START, PNG_START, orientation
from .served import MAX_PIXELS
from .strips import grey
from .transforms import center_crop, resize

FITS = ("crop", "pad", "stretch")


def read_image(path, height, width, channels=3, fit="crop", background=255, max_pixels=MAX_PIXELS):
    """The file at `path` as uint8 (height, width, channels).

    Args:
        path: a JPEG, PNG, GIF, BMP, WebP or TIFF file; of several pictures in it, the first.
        height, width: size of the result in pixels.
        channels: 3 for RGB, 1 for grey.
        fit: "crop" scales the image to cover the result and cuts its middle out; "pad"
            shows all of it, on the background; "stretch" ignores its aspect ratio.
        background: grey level 0..255 behind transparent pixels and beside padded images.
        max_pixels: largest number of pixels that is decoded, or made while resizing.

    Raises: UserError, naming the file, if it can't be read, isn't such an image, is damaged,
        or is too large.
    """
    if fit not in FITS:
        raise UserError(f"fit must be one of {', '.join(FITS)}. Received: fit={fit!r}")
    if height < 1 or width < 1:
        raise UserError(f"height and width must be at least 1. Received: {height}, {width}")
    image = decode(read_bytes(path), path, channels, background, max_pixels)
    if fit == "stretch":
        return resize(image, height, width).numpy()
    ratios = (height, image.shape[0]), (width, image.shape[1])
    choose = max if fit == "crop" else min
    wanted, given = choose(ratios, key=lambda ratio: ratio[0] / ratio[1])
    scaled_height, scaled_width = (max(1, round(s * wanted / given)) for s in image.shape[:2])
    if scaled_height * scaled_width > max(max_pixels, height * width):
        raise UserError(
            f"{printable(path)} is too long and narrow for fit='crop' "
            f"({image.shape[1]} x {image.shape[0]} pixels); use 'pad' or 'stretch'"
        )
    image = resize(image, scaled_height, scaled_width)
    if fit == "crop":
        return center_crop(image, (height, width)).numpy()
    result = np.full((height, width, channels), background, np.uint8)
    top, left = (height - scaled_height) // 2, (width - scaled_width) // 2
    result[top : top + scaled_height, left : left + scaled_width] = image
    return result


def read_bytes(path):
    """The bytes of a file; raises UserError, naming it, if it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"can't read image {printable(path)}: {error.strerror}") from error


def read_centre(path, height, width, channels=3, short_side=None, **options):
    """The middle of an image file as the recipes' tests see it, uint8 (height, width, channels).

    Args:
        path, height, width, channels: as in `read_image`.
        short_side: shorter side in pixels that the image is scaled to before its middle is cut
            out; None, or one that is too small, for a scale that just covers the result.
        **options: further arguments of `read_image`.

    Raises: UserError, as `read_image`.
    """
    side = short_side or 0
    image = read_image(path, max(side, height), max(side, width), channels, **options)
    return center_crop(image, (height, width)).numpy()


def decode(data, name="image", channels=3, background=255, max_pixels=MAX_PIXELS):
    """The bytes of an image file as uint8 (H, W, channels), upright.

    Transparent pixels are laid over the grey level `background`, as viewers show them; the
    orientation is undone, see `orientation`; 16-bit samples lose their lower byte; colours turn
    grey by tf.image.rgb_to_grayscale. `name` is what errors call the image.

    Takes up to 12 bytes of memory for each pixel, the file aside; of WebP, in Pillow, 16.

    Raises: UserError if `data` isn't a complete JPEG, PNG, GIF, BMP, WebP or TIFF image of at
        most `max_pixels` pixels.
    """
    if channels not in (1, 3):
        raise UserError(f"channels must be 1 or 3. Received: channels={channels}")
    if not 0 <= background <= 255:
        raise UserError(f"background must be in 0..255. Received: background={background}")
    name = printable(name)
    if not _is_tensorflows(data):
        check = functools.partial(_check_pixels, name=name, max_pixels=max_pixels)
        image = by_pillow.decode(data, name, background, check)
        return grey(image).numpy() if channels == 1 else image
    with _damage_named(data, name):
        _check_pixels(*_stored_shape(data), name, max_pixels)
        if data.startswith(PNG_START):
            image = served.decode_png(data, background)
        else:
            image = served.decode_jpeg(data)
    return (grey(image) if channels == 1 else image).numpy()


def read_header(data, name):
    """Height and width of an image file as stored, and its orientation, 1 to 8.

    data: the bytes of the file. name: what errors call it.
    Raises: UserError if it is no image.
    """
    name = printable(name)
    if not _is_tensorflows(data):
        return by_pillow.read_header(data, name)
    with _damage_named(data, name):
        return _stored_shape(data), int(orientation(data))


def _is_tensorflows(data):
    return data.startswith((JPEG_START, PNG_START))


def _stored_shape(data):
    if data.startswith(PNG_START):
        return struct.unpack_from(">II", data, 16)[::-1]  # of its first chunk, IHDR
    return tuple(tf.io.extract_jpeg_shape(data).numpy()[:2].tolist())


@contextlib.contextmanager
def _damage_named(data, name):
    """What TensorFlow says of damaged files comes as a UserError with their name."""
    try:
        yield
    except (tf.errors.OpError, struct.error) as error:
        form = "PNG" if data.startswith(PNG_START) else "JPEG"
        raise UserError(f"{name} is damaged or cut off: not a whole {form}") from error


def _check_pixels(height, width, name, max_pixels):
    if width < 1 or height < 1:
        raise UserError(f"{name} has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise UserError(
            f"{name} has {width} x {height} pixels; at most {max_pixels:,} pixels are decoded"
        )
