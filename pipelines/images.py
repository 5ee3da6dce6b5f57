"""Image files as people have them, decoded the one way the whole package decodes.

tf.io turns bytes into pixels, here as in training and serving: other decoders differ by up
to four levels on the same JPEG. Pillow reads headers only: size, mode, orientation.
"""

import io
import struct
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from tfcnns.errors import UserError

from .transforms import center_crop, resize

MAX_PIXELS = 64_000_000  # needs about 2 GB while it is resized in float32
FORMATS = ("JPEG", "PNG", "GIF", "BMP")
FITS = ("crop", "pad", "stretch")


def read_image(path, height, width, channels=3, fit="crop", background=255, max_pixels=MAX_PIXELS):
    """The file at `path` as uint8 (height, width, channels).

    Args:
        path: a JPEG, PNG, GIF (its first frame) or BMP file.
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
            f"{path} is too long and narrow for fit='crop' "
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
        raise UserError(f"can't read image {path}: {error.strerror}") from error


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

    Transparent pixels are laid over the grey level `background`, as viewers show them; a
    JPEG's EXIF orientation is applied; 16-bit samples lose their lower byte; colours turn
    grey by tf.image.rgb_to_grayscale. `name` is what errors call the image.

    Raises: UserError if `data` isn't a complete JPEG, PNG, GIF or BMP image of at most
        `max_pixels` pixels. A BMP must be uncompressed, in 24 or 32 bits or grey.
    """
    if channels not in (1, 3):
        raise UserError(f"channels must be 1 or 3. Received: channels={channels}")
    if not 0 <= background <= 255:
        raise UserError(f"background must be in 0..255. Received: background={background}")
    header = _open(data, name)
    _check_pixels(header.size, name, max_pixels)
    try:
        if header.format == "PNG":
            image = _decode_png(data, header, background)
        elif header.format == "GIF":
            image = _decode_gif(data, header, name, background, max_pixels)
        elif header.format == "BMP":
            image = _decode_bmp(data, header, name)
        else:
            image = _upright(tf.io.decode_jpeg(data, channels=3).numpy(), header)
    except (tf.errors.OpError, struct.error, IndexError) as error:
        raise UserError(f"{name} is damaged or cut off: not a whole {header.format}") from error
    return tf.image.rgb_to_grayscale(image).numpy() if channels == 1 else image


def _open(data, name):
    """Pillow's view of the header; pixels are never decoded through it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on large images, which _check_pixels refuses
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} has too many pixels: {error}") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        found = "is empty" if not data else "isn't a readable image"
        raise UserError(f"{name} {found}; expected a JPEG, PNG, GIF or BMP file") from error


def _check_pixels(size, name, max_pixels):
    width, height = size
    if width < 1 or height < 1:
        raise UserError(f"{name} has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise UserError(
            f"{name} has {width} x {height} pixels; at most {max_pixels:,} pixels are decoded"
        )


def _decode_png(data, header, background):
    transparent = header.mode in ("LA", "PA", "RGBA") or "transparency" in header.info
    image = tf.io.decode_png(data, channels=4 if transparent else 3).numpy()
    if not transparent:
        return image
    alpha = image[..., 3:].astype(np.uint16)  # products stay below 256 * 256
    blend = image[..., :3] * alpha + np.uint16(background) * (255 - alpha)
    return ((blend + 127) // 255).astype(np.uint8)


def _decode_bmp(data, header, name):
    # TensorFlow takes colour numbers for grey and ignores bit masks, without a word.
    layout = header.tile[0].args[0]
    if layout not in ("BGR", "BGRX", "BGRA", "L"):
        raise UserError(f"{name} is a BMP with a palette or packed pixels; save it as PNG")
    image = tf.io.decode_bmp(data).numpy()
    return np.repeat(image, 3, axis=2) if layout == "L" else image[..., :3]


def _decode_gif(data, header, name, background, max_pixels):
    """The first frame alone, its transparent colour replaced by the background.

    TensorFlow would decode every frame before it drops all but one (400 kB can take 1.6 GB),
    paint transparent pixels black and cut off what a frame's offset moves: all three are
    dealt with in the bytes.
    """
    frame = bytearray(data)
    palette = 13
    position = palette + _palette_size(data[10])
    transparent = None
    while data[position] == 0x21:  # extensions before the frame
        if data[position + 1] == 0xF9 and data[position + 3] & 1:
            transparent = data[position + 6]
            frame[position + 3] &= ~1
        position = _after_blocks(data, position + 2)
    marker, left, top, width, height, flags = struct.unpack_from("<B4HB", data, position)
    if marker != 0x2C:
        raise IndexError("no frame")
    _check_pixels((width, height), name, max_pixels)
    frame[position + 1 : position + 5] = bytes(4)
    if flags & 0x80:
        palette = position + 10
    if transparent is not None:
        colour = palette + 3 * transparent
        frame[colour : colour + 3] = bytes([background] * 3)
    end = _after_blocks(data, position + 10 + _palette_size(flags) + 1)
    first = bytes(frame[:end]) + b";"
    image = tf.io.decode_image(first, channels=3, expand_animations=False).numpy()
    canvas = np.full((header.height, header.width, 3), background, np.uint8)
    place = canvas[top : top + height, left : left + width]
    place[:] = image[: place.shape[0], : place.shape[1]]
    return canvas


def _palette_size(flags):
    """Bytes of the palette that a GIF's flags announce."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _after_blocks(data, position):
    """Where a GIF's chain of blocks, each headed by its length, ends."""
    while data[position]:
        position += data[position] + 1
    return position + 1


def _upright(image, header):
    """Undo a camera's EXIF orientation, 1 to 8."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd EXIF; what it says is used or not
            orientation = header.getexif().get(0x0112, 1)
    except (OSError, ValueError, SyntaxError, struct.error):
        return image
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
