"""Intersection over union of boxes, in NumPy, for the metrics."""

import numpy as np


def iou(a, b):
    """IoU of every box of `a` with every box of `b`.

    The intersection's area over the union's. Boxes are edges in pixels, no pixel is added to their
    sides; a box without area has an IoU of 0 with every box, itself included.

    Args:
        a: (n, 4) edges x0, y0, x1, y1.
        b: (m, 4).

    Returns: (n, m) float64 in 0..1.
    """
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.maximum(sides, 0).prod(-1)  # (n, m)
    union = sum((box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b)) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)
