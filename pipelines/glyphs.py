"""Digits, and signs that are none, as ink of any size.

Ink is opacity, float (h, w), 0 to 1, cut to the rows and columns that have some; its edges
are smooth (anti-aliased).
"""

import numpy as np

FIELD = 8  # samples of a field per pixel of an 8x8 digit
EDGE = 0.45  # what a digit has, of its own maximum, along the outline of its strokes
SHARPEST = 3.0  # growth of opacity over that of ink: more would turn a 4 into a blob
TURNED = (2, 3, 5, 7)  # what no longer is a digit when it lies on its side

# Letters and signs that don't look like digits, as lines in the unit square: x, y to x, y.
SIGNS = (
    ((0, 0, 0, 1), (0, 0, 1, 0), (0, 0.5, 0.8, 0.5), (0, 1, 1, 1)),  # E
    ((0, 0, 0, 1), (0, 0, 1, 0), (0, 0.5, 0.8, 0.5)),  # F
    ((0, 0, 0, 1), (1, 0, 1, 1), (0, 0.5, 1, 0.5)),  # H
    ((0, 0, 0, 1), (0, 0.5, 1, 0), (0, 0.5, 1, 1)),  # K
    ((0, 1, 0, 0), (0, 0, 0.5, 0.6), (0.5, 0.6, 1, 0), (1, 0, 1, 1)),  # M
    ((0, 1, 0, 0), (0, 0, 1, 1), (1, 1, 1, 0)),  # N
    ((0, 0, 1, 0), (0.5, 0, 0.5, 1)),  # T
    ((0, 0, 0.5, 1), (0.5, 1, 1, 0)),  # V
    ((0, 0, 1, 1), (0, 1, 1, 0)),  # X
    ((0, 0, 0.5, 0.5), (1, 0, 0.5, 0.5), (0.5, 0.5, 0.5, 1)),  # Y
    ((0, 0.5, 1, 0.5), (0.5, 0, 0.5, 1)),  # plus
    ((0, 0, 1, 0), (1, 0, 1, 1), (1, 1, 0, 1), (0, 1, 0, 0)),  # square
    ((0.5, 0, 1, 1), (1, 1, 0, 1), (0, 1, 0.5, 0)),  # triangle
)


def fields(digits):
    """8x8 digits as smooth fields of ink, float32 (N, 80, 80), the maximum of each 1.

    digits: (N, 8, 8). Between pixels, cubic interpolation (Keys, a = -1/2); around them, one
        that is empty.
    """
    padded = np.pad(digits, [(0, 0), (1, 1), (1, 1)]).astype(np.float32)
    side = padded.shape[1]
    d = np.abs(((np.arange(side * FIELD) + 0.5) / FIELD - 0.5)[:, None] - np.arange(side))
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0)).astype(np.float32)
    ink = weights @ padded @ weights.T
    return ink / ink.max(axis=(1, 2), keepdims=True)


def digit(random, field, height):
    """Ink of a digit about `height` pixels tall, at random a little turned, slanted, stretched."""
    rows = np.flatnonzero((field > EDGE).any(1))
    scale = height / (rows[-1] - rows[0] + 1)  # pixels per sample
    y, x = _turned(random, 1.2 * field.shape[0] * scale)
    x = x + random.uniform(-0.15, 0.15) * y
    stretch = np.exp(random.uniform(-0.15, 0.15))
    middle = field.shape[0] / 2 - 0.5
    value = between(field, y / scale + middle, x / (scale * stretch) + middle)
    # A stroke's edge rises by about .4 in a pixel of the 8x8 digit: make that one pixel here.
    return _tight(0.5 + (value - EDGE) * min(scale * FIELD / 0.4, SHARPEST))


def distractor(random, fields, labels, height):
    """Ink of a letter or sign, or of a digit on its side, about `height` pixels tall."""
    if random.random_sample() < 0.6:
        return _sign(random, SIGNS[random.randint(len(SIGNS))], height)
    able = np.flatnonzero(np.isin(labels, TURNED))
    field = fields[able[random.randint(len(able))]]
    return digit(random, np.rot90(field, random.choice([1, 3])), height)


def between(image, rows, columns):
    """Bilinear samples of (H, W); rows and columns broadcast, those outside repeat the edge."""
    rows = np.clip(rows, 0, image.shape[0] - 1)
    columns = np.clip(columns, 0, image.shape[1] - 1)
    top = np.minimum(rows.astype(np.int64), image.shape[0] - 2)
    left = np.minimum(columns.astype(np.int64), image.shape[1] - 2)
    down, right = rows - top, columns - left
    above = image[top, left] * (1 - right) + image[top, left + 1] * right
    below = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return above * (1 - down) + below * down


def _sign(random, lines, height):
    width, thick = height * random.uniform(0.6, 0.9), height * random.uniform(0.07, 0.11)
    y, x = _turned(random, 1.5 * height)
    nearest = np.full(y.shape, np.inf)
    size = np.array([width, height, width, height]) - 2 * thick
    for x0, y0, x1, y1 in (np.array(lines) - 0.5) * size:
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        along = np.clip(along, 0, 1)
        distance = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
        nearest = np.minimum(nearest, distance)
    return _tight(0.5 + thick - nearest)


def _turned(random, side):
    """y and x, each (n, n) and 0 in the middle, of a square of pixels that is a little turned."""
    side = int(np.ceil(side)) + 2
    along = np.arange(side) + 0.5 - side / 2
    angle = random.uniform(-0.2, 0.2)
    sin, cos = np.sin(angle), np.cos(angle)
    return along[:, None] * cos - along * sin, along[:, None] * sin + along * cos


def _tight(opacity):
    inside = opacity >= 0.5
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return np.clip(opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 0, 1)
