"""Non-maximum suppression, what others do where OverFeat merges."""

import tensorflow as tf

from .counts import checked_count
from .scored_boxes import checked


def suppress_boxes(boxes, scores, iou_threshold=0.5, classes=None, max_boxes=None):
    """Keeps the best box, drops what overlaps it too much, goes on with the best of the rest.

    The comparison for `merge_boxes`: boxes and scores that stay are unchanged. The work is done by
    tf.image.non_max_suppression, a kernel in C++ that is part of TensorFlow and of its exported
    graphs. keras_cv.layers.NonMaxSuppression ends in the same family of ops, but in a package that
    has its last release behind it, mixes the classes, and needs max_detections ahead.

    Args:
        boxes: (N, 4) edges x0, y0, x1, y1.
        scores: (N,) or (N, C), of which the largest counts.
        iou_threshold: in 0..1; a box goes if its IoU with a kept one is larger.
        classes: (N,) integers: boxes suppress boxes of their own class only. None: all boxes.
        max_boxes: at most so many are kept, of each class; None for no limit.

    Returns: boxes (M, 4) and scores (M,) or (M, C), best first, and classes (M,) if given.
    Raises: ValueError for a threshold outside 0..1, max_boxes below 0, and as `merge_boxes`.

    Example:
        >>> boxes = [[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]]
        >>> suppress_boxes(boxes, [0.5, 0.25, 0.625])
        ([[50, 50, 60, 60], [0, 0, 10, 10]], [0.625, 0.5])
    """
    if not tf.is_tensor(iou_threshold) and not 0 <= iou_threshold <= 1:
        raise ValueError(
            f"`iou_threshold` must be in 0..1. Received: iou_threshold={iou_threshold}"
        )
    max_boxes = checked_count("max_boxes", max_boxes, none=True)
    boxes, scores, kinds = checked(boxes, scores, classes)
    best = scores if scores.shape.rank == 1 else tf.reduce_max(scores, axis=1)
    # The op knows no float64.
    edges, best = tf.cast(boxes, tf.float32), tf.cast(best, tf.float32)
    iou_threshold = tf.cast(iou_threshold, tf.float32)
    count = tf.size(best)
    limit = count if max_boxes is None else max_boxes
    present = tf.unique(kinds).y

    def one_class(i, kept):
        members = tf.where(kinds == present[i])[:, 0]  # (n,)
        chosen = tf.image.non_max_suppression(
            tf.gather(edges, members), tf.gather(best, members), limit, iou_threshold
        )
        members = tf.gather(members, chosen)[:, None]
        return i + 1, tf.tensor_scatter_nd_update(kept, members, tf.ones_like(chosen))

    _, kept = tf.while_loop(
        lambda i, _: i < tf.size(present), one_class, (0, tf.zeros(count, tf.int32))
    )
    kept = tf.where(kept > 0)[:, 0]
    order = tf.argsort(tf.gather(best, kept), direction="DESCENDING", stable=True)
    kept = tf.gather(kept, order)
    result = tf.gather(boxes, kept), tf.gather(scores, kept)
    return result if classes is None else (*result, tf.gather(kinds, kept))
