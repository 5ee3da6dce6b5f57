"""Paints one scene: real digits of several sizes on a background, among things that are none.

Pure NumPy, and a function of the random numbers it is given alone. `digit_scenes` says which
digits and photographs go in.
"""

from typing import NamedTuple

import numpy as np

from . import glyphs

HEIGHTS = (12, 60)  # of a digit, in pixels; 12 to 24 are as frequent as 24 to 48
MAX_OVERLAP = 0.1  # of two boxes, as a part of the smaller one
CONTRAST = (70, 150)  # grey levels between ink and the mean of what is under it
MARGIN = 1  # pixels between ink and the edge of the scene


class Materials(NamedTuple):
    """What scenes are painted from.

    fields: float32 (N, 80, 80), digits as `glyphs.fields` returns them. labels: int64 (N,).
    photographs: list of uint8 (H, W), the pieces of photographs that may lie behind.
    """

    fields: np.ndarray
    labels: np.ndarray
    photographs: list


def compose(random, materials, shape, objects=(1, 6)):
    """One scene.

    Args:
        random: np.random.RandomState, whose stream NumPy froze.
        materials: `Materials`.
        shape: height and width in pixels.
        objects: fewest and most digits; each number is .8 times as likely as the one before.
            Digits after the first that find no room are left out.

    Returns: image, uint8 (H, W, 1); boxes, float32 (n, 4), x0, y0, x1, y1 in pixels, the
        edges of the ink and so whole numbers; labels, int64 (n,).
    """
    image = _background(random, materials.photographs, shape)
    for _ in range(random.randint(4)):
        _line(random, image)
    fewest, most = objects
    odds = np.cumsum(0.8 ** np.arange(most - fewest + 1))
    tallest = min(HEIGHTS[1], 0.9 * min(shape))
    inks, boxes, labels = [], [], []
    for _ in range(fewest + np.searchsorted(odds / odds[-1], random.random_sample())):
        number = random.randint(len(materials.labels))
        draw = glyphs.digit, materials.fields[number]
        if _place(random, draw, tallest, shape, inks, boxes):
            labels.append(materials.labels[number])
    for _ in range(random.randint(4)):
        draw = glyphs.distractor, materials.fields, materials.labels
        _place(random, draw, tallest / 1.5, shape, inks, boxes)
    for number in random.permutation(len(inks)):
        _paint(random, image, inks[number], boxes[number])
    image += random.standard_normal(shape) * random.uniform(0, 6)
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None]
    boxes = np.array(boxes[: len(labels)], np.float32)
    return image, boxes, np.array(labels, np.int64)


def _background(random, photographs, shape):
    """A piece of a photograph or soft clutter, its contrast held back; float64 shape."""
    if random.random_sample() < 0.75:
        image = photographs[random.randint(len(photographs))]
        room = min(have / wanted for have, wanted in zip(image.shape, shape, strict=True))
        zoom = room * random.uniform(0.45, 1)  # pixels of the photograph per pixel of the scene
        first = [random.uniform(0, s - zoom * w) for s, w in zip(image.shape, shape, strict=True)]
        rows, columns = (f + zoom * np.arange(w) for f, w in zip(first, shape, strict=True))
        columns = columns[:: random.choice([-1, 1])]
    else:
        image = random.uniform(0, 255, random.randint(2, 9, 2))
        rows, columns = (np.linspace(0, s, w) for s, w in zip(image.shape, shape, strict=True))
    image = glyphs.between(image, rows[:, None], columns)
    image -= image.mean()
    image *= min(random.uniform(5, 35) / (image.std() + 1e-3), 2)
    for axis, side in enumerate(shape):  # light from one side
        ramp = random.uniform(-20, 20) * np.linspace(-1, 1, side)
        image += ramp[:, None] if axis == 0 else ramp
    return image + random.uniform(50, 205)


def _line(random, image):
    """Draws a line from edge to edge over the image, in place."""
    y, x = (random.uniform(0, side) + np.arange(side) - side for side in image.shape)
    angle = random.uniform(0, np.pi)
    distance = np.abs(y[:, None] * np.cos(angle) - x * np.sin(angle))
    opacity = np.clip(random.uniform(0.8, 2.5) - distance, 0, 1)
    image += opacity * random.uniform(15, 50) * random.choice([-1, 1])


def _place(random, draw, tallest, shape, inks, boxes):
    """Draws a glyph and appends its ink and its box, if there is room for it.

    draw: a function and its arguments between the random numbers and the height. The first
        drawing is of any height, later ones are smaller.
    """
    function, *arguments = draw
    for _ in range(5):
        tallest = max(tallest, HEIGHTS[0])
        height = HEIGHTS[0] * (tallest / HEIGHTS[0]) ** random.random_sample()
        ink = function(random, *arguments, height)
        room = [side - 2 * MARGIN - used for side, used in zip(shape, ink.shape, strict=True)]
        for _ in range(8 if min(room) >= 0 else 0):
            y, x = (MARGIN + random.randint(free + 1) for free in room)
            box = (x, y, x + ink.shape[1], y + ink.shape[0])
            if all(_overlap(box, other) <= MAX_OVERLAP for other in boxes):
                inks.append(ink)
                boxes.append(box)
                return True
        tallest = 0.8 * height
    return False


def _overlap(box, other):
    """Intersection of two boxes as a part of the smaller one."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return max(width, 0) * max(height, 0) / min(areas)


def _paint(random, image, ink, box):
    """Lays ink, darker or lighter than what is under it, over the image in place."""
    x0, y0, x1, y1 = box
    under = image[y0:y1, x0:x1]
    mean = np.clip(under.mean(), 0, 255)
    contrast = random.uniform(*CONTRAST) * random.choice([-1, 1])
    if not 0 <= mean + contrast <= 255:
        contrast = -contrast
    under += ink * (np.clip(mean + contrast, 0, 255) - under)
