"""Photographs that their camera marks as turned, for boxes that were drawn without the mark.

`images.decode` and `jpeg.decode` show such a JPEG upright, as viewers do. Headers are read
by Pillow, pixels aren't decoded.
"""

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfcnns.errors import UserError

ORIENTATION = 0x0112  # Exif's tag: 1 upright, 5 to 8 lying on a side


def read_header(data, name):
    """Height and width of an image file as stored, (2,), and its orientation, 1 to 8.

    data: the bytes of the file, or its path. name: what errors call it.
    Raises: UserError if it can't be read or is no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on large images and odd Exif: used or not
            with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as header:
                width, height = header.size
                mark = header.getexif().get(ORIENTATION) if header.format == "JPEG" else 1
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{name} isn't a readable image") from error
    return (height, width), mark if mark in range(2, 9) else 1


def upright_shape(shape, orientation):
    """Height and width as decoded, of those as stored."""
    return tuple(shape[::-1]) if orientation >= 5 else tuple(shape)


def upright_boxes(boxes, orientation):
    """Boxes on the image as stored, relative (N, 4) y0, x0, y1, x1, on the image as decoded."""
    y0, x0, y1, x1 = np.asarray(boxes).reshape(-1, 4).T
    if orientation in (5, 6, 7, 8):
        y0, x0, y1, x1 = x0, y0, x1, y1
    if orientation in (3, 4, 7, 8):
        y0, y1 = 1 - y1, 1 - y0
    if orientation in (2, 3, 6, 7):
        x0, x1 = 1 - x1, 1 - x0
    return np.stack([y0, x0, y1, x1], axis=1)
