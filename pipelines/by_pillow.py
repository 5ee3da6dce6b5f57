"""GIF, BMP, WebP and TIFF files, which Pillow decodes; of several pictures in one, the first.

Where decoders differ, in JPEGs, TensorFlow's is used everywhere, and PNGs must be decoded in
exported graphs: those two never come here.
"""

import io
import struct
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from tfcnns.errors import UserError

from .orientation import EXIF, mark_in, upright
from .strips import PIXELS

FORMATS = ("GIF", "BMP", "WEBP", "TIFF")
XMP = ("xmp", "XML:com.adobe.xmp")  # where Pillow would look for an orientation
TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
DEEP = ("I;16", "I;16L", "I;16B")  # 16 bits of grey


def decode(data, name, background, check):
    """The bytes of such a file as uint8 (H, W, 3), upright, over the grey level `background`.

    check: function of height and width that raises what it has against them, called before
        anything is decoded. name: what errors call the image.

    A BMP whose alpha is zero everywhere has none: some programs leave it so.
    Raises: UserError if it is none, is damaged, or has samples of more than 16 bits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on large images, which `check` refuses, and odd Exif
        with _open(data, name) as file:
            check(*file.size[::-1])
            mark = _mark(file)
            try:
                image = _pixels(file, name, background)
            except UserError:
                raise
            except (OSError, EOFError, ValueError, SyntaxError, IndexError, struct.error) as error:
                raise UserError(
                    f"{name} is damaged or cut off: not a whole {file.format}"
                ) from error
    return image if mark == 1 else upright(tf.constant(image), mark).numpy()


def read_header(data, name):
    """Height and width of such a file as stored, and its orientation, 1 to 8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open(data, name) as file:
            return file.size[::-1], _mark(file)


def _open(data, name):
    try:
        file = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} has too many pixels: {error}") from error
    except (UnidentifiedImageError, ValueError, SyntaxError, EOFError) as error:
        found = "is empty" if not data else "isn't a readable image"
        raise UserError(
            f"{name} {found}; expected a JPEG, PNG, GIF, BMP, WebP or TIFF file"
        ) from error
    except OSError as error:
        if str(error).startswith("Unsupported"):  # a kind of BMP, which it names
            raise UserError(f"{name} can't be read: {error}") from error
        raise UserError(f"{name} is damaged or cut off: {error}") from error
    for key in XMP:
        file.info.pop(key, None)
    return file


def _mark(file):
    """The orientation that is left to undo: Pillow turns a TIFF itself, as soon as it is loaded."""
    exif = file.info.get("exif") if file.format == "WEBP" else None
    return int(mark_in(exif.removeprefix(EXIF))) if exif else 1


def _pixels(file, name, background):
    """uint8 (H, W, 3), a strip at a time: Pillow has 4 bytes for each pixel already."""
    box = file.tile[0].extents if file.format == "GIF" else None
    file.load()
    mode = file.mode
    if mode in ("I", "F"):
        raise UserError(f"{name} has samples of 32 bits; expected at most 16")
    transparent = mode in TRANSPARENT or "transparency" in file.info
    if file.format == "BMP" and transparent:
        transparent = file.getchannel("A").getextrema() != (0, 0)
    image = np.empty([file.height, file.width, 3], np.uint8)
    rows = max(PIXELS // file.width, 1)
    for top in range(0, file.height, rows):
        strip = file.crop((0, top, file.width, min(top + rows, file.height)))
        image[top : top + rows] = _strip(strip, mode, transparent, background)
    if box:  # around the frame a GIF shows what is behind it
        left, top, right, bottom = box
        image[:top], image[bottom:], image[:, :left], image[:, right:] = [background] * 4
    return image


def _strip(strip, mode, transparent, background):
    if mode in DEEP:
        return (np.asarray(strip) >> 8).astype(np.uint8)[..., None]
    if not transparent:
        return np.asarray(strip.convert("RGB"))
    rgba = np.asarray(strip.convert("RGBA")).astype(np.uint16)  # products stay below 256 * 256
    alpha = rgba[..., 3:]
    return (rgba[..., :3] * alpha + np.uint16(background) * (255 - alpha) + 127) // 255
