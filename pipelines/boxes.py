"""Boxes as people have them, made fit for training.

A box is x0, y0, x1, y1 in pixels: the edges of a rectangle, x to the right and y down, so that
0, 0, W, H is the whole image and x1 - x0 a width. That is the format "xyxy" of
`keras.utils.bounding_boxes`, which turns it into others and moves boxes with their image.
"""

import collections
import logging

import numpy as np
import tensorflow as tf

from tfcnns.errors import UserError

# What `clean` counts, in the words of the log; the first four are left out.
CROWD = "crowd or difficult"
NOT_FINITE = "not finite"
OUTSIDE = "outside the image"
SMALL = "below 1 pixel"
SWAPPED = "with swapped corners"
CLIPPED = "clipped to the image"


def clean(boxes, labels, shapes, classes, *, crowd=None, where="boxes"):
    """Boxes that lie in their images and have an area; what is wrong with the others is counted.

    Swapped corners are put right, since two opposite corners say which rectangle is meant.
    What reaches beyond the image is cut off; boxes of less than one pixel in width or height
    after that, and those with a coordinate that is no number, are left out: as a target they
    turn the loss to NaN, or ask for what nobody can see.

    Args:
        boxes: (N, 4), x0, y0, x1, y1 in pixels.
        labels: int (N,), 0 to classes - 1.
        shapes: height and width of the image in pixels, (2,), or of each box's image, (N, 2).
        classes: how many there are.
        crowd: bool (N,), those to leave out for standing for several objects, or for being
            too difficult; None for none.
        where: what errors call the boxes.

    Returns: boxes, float32 (M, 4); rows, int64 (M,), which of the given ones they are; and
        counts, a `collections.Counter` of the words above.
    Raises: UserError, naming it, if a label is out of range; ValueError for wrong shapes.
    """
    boxes, labels = np.array(boxes, np.float64), np.asarray(labels)
    boxes = boxes if boxes.size else boxes.reshape(0, 4)
    if boxes.shape != (labels.size, 4) or labels.ndim != 1:
        raise ValueError(
            f"clean expects boxes (N, 4) and labels (N,). Received: {boxes.shape}, {labels.shape}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= classes) | (labels % 1 != 0))
    if len(wrong):
        raise UserError(
            f"{where}: label {labels[wrong[0]]} of box {wrong[0]} isn't in 0..{classes - 1}"
        )
    size = np.broadcast_to(np.asarray(shapes, np.float64)[..., ::-1], (len(boxes), 2))
    left_out = np.zeros(len(boxes), bool)
    counts = collections.Counter()

    def leave_out(reason, which):
        counts[reason] += np.count_nonzero(which & ~left_out)
        left_out[:] |= which

    leave_out(CROWD, np.zeros(len(boxes), bool) if crowd is None else np.asarray(crowd, bool))
    leave_out(NOT_FINITE, ~np.isfinite(boxes).all(axis=1))
    boxes[left_out] = 0
    first, last = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    swapped = (first != boxes[:, :2]).any(axis=1)
    outside = ((last <= 0) | (first >= size)).any(axis=1)
    inside = np.concatenate([np.clip(first, 0, size), np.clip(last, 0, size)], axis=1)
    clipped = (np.abs(inside - np.concatenate([first, last], axis=1)) > 0.01).any(axis=1)
    # A side of no length lies on an edge rather than beyond it.
    leave_out(OUTSIDE, outside & (last > first).all(axis=1))
    leave_out(SMALL, (inside[:, 2:] - inside[:, :2] < 1).any(axis=1))
    counts[SWAPPED] = np.count_nonzero(swapped & ~left_out)
    counts[CLIPPED] = np.count_nonzero(clipped & ~left_out)
    rows = np.flatnonzero(~left_out)
    return inside[rows].astype(np.float32), rows, +counts


def log(counts, examples, where):
    """One line in the log that says what `clean` left out and changed; none for nothing.

    examples: how many boxes there were. where: what the line calls them.
    """
    if not counts:
        return

    def said(verb, reasons):
        found = [f"{counts[reason]:,} {reason}" for reason in reasons if counts[reason]]
        return [f"{verb} {', '.join(found)}"] if found else []

    left_out = said("left out", [CROWD, NOT_FINITE, OUTSIDE, SMALL])
    line = "; ".join(left_out + said("kept", [SWAPPED, CLIPPED]))
    logging.getLogger(__name__).warning("%s: of %s boxes, %s", where, f"{examples:,}", line)


def from_relative(boxes, shapes):
    """Relative boxes of tensorflow-datasets in pixels, float64 (N, 4).

    boxes: float32 (N, 4), y0, x0, y1, x1 as parts of height and width. shapes: as for `clean`.
    Rounded to a thousandth of a pixel: whole numbers that went in come out whole.
    """
    sides = np.broadcast_to(np.asarray(shapes, np.float64), (len(boxes), 2))
    y0, x0, y1, x1 = np.asarray(boxes, np.float64).reshape(-1, 4).T
    height, width = sides.T
    return np.round(np.stack([x0 * width, y0 * height, x1 * width, y1 * height], axis=1), 3)


def pad(boxes, labels, size):
    """Boxes (n, 4) as (size, 4), zeros after the last, and labels (n,) as (size,), -1 there.

    For tf.data. Raises: tf.errors.InvalidArgumentError if there are more than `size`.
    """
    room = size - tf.shape(labels)[0]
    boxes = tf.pad(boxes, [[0, room], [0, 0]])
    labels = tf.pad(labels, [[0, room]], constant_values=-1)
    return tf.ensure_shape(boxes, [size, 4]), tf.ensure_shape(labels, [size])
