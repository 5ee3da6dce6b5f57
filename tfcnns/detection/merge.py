"""Greedy merging of boxes (OverFeat, section 4.3)."""

import contextlib
import functools

import tensorflow as tf

from tfcnns.layers.devices import device_pins_are_on

from .greedy import merge_all
from .scored_boxes import checked

MATCHES = ("iou", "intersection", "literal")


def merge_boxes(
    boxes,
    scores,
    threshold,
    classes=None,
    match="iou",
    weighted=False,
    return_groups=False,
):
    """The closest two boxes become one, again and again, until no two are close enough.

    Steps (d) to (g) of section 4.3, on the boxes B of all scales; `top_class_boxes` has (a) to (c):

        (d) repeat merging until done:
        (e)   (b1, b2) = argmin over b1 != b2 in B of match_score(b1, b2)
        (f)   if match_score(b1, b2) > threshold, stop
        (g)   otherwise B = B without b1 and b2, with box_merge(b1, b2)

    box_merge averages the coordinates of the two. A merged box has the sum of the class outputs
    of all the windows that went into it; the final answer is the box with the largest.

    match_score is, in print, "the sum of the distance between centers of the two bounding boxes
    and the intersection area of the boxes". Taken at its word, boxes that overlap more would match
    less, and pixels would be added to square pixels. Here d is the distance of the centres in units
    of the mean of the four sides, so that a threshold means the same at any size of image, and the
    match is

        "iou"           d + 1 - (intersection / union)
        "intersection"  d + 1 - (intersection / mean area of the two)
        "literal"       d + (intersection / mean area of the two)

    For "iou", the default, equal boxes have 0, boxes a tenth of their side apart .28, a quarter
    .65, half 1.17; one in the middle of another of twice its sides .75; boxes that only touch 2
    or more. Below 1 only boxes that overlap merge. The paper publishes no threshold.

    Of pairs with the same score, the one with the lowest first box merges, then with the lowest
    second box; a merged box takes the place of its first box in the list.

    "Per class" can be read in two ways, and both are here. As printed, B holds the boxes of all
    chosen classes and any two may merge: leave `classes` out, and let `scores` have the outputs of
    every class for each window. Where objects of several kinds lie close together, give `classes`:
    only boxes of one class merge, as if each class were a call of its own.

    Args:
        boxes: (N, 4) edges x0, y0, x1, y1 in pixels, or any unit; worked out in float32, or in
            float64 if that is their type.
        scores: (N,) or (N, C) class outputs of the windows that the boxes come from.
        threshold: t, the largest match score that merges. No default: it depends on how far apart
            a regressor's boxes of one object are.
        classes: (N,) integers, or None.
        match: "iou", "intersection" or "literal".
        weighted: False averages the two boxes, as printed, however many boxes each stands for;
            True makes a merged box the average of all the boxes that went into it.
        return_groups: return also which merged box each box went into.

    Returns:
        boxes (M, 4) and scores (M,) or (M, C), the largest score of any class first; then, where
        asked for, classes (M,) and groups (N,) int32, places in the merged boxes.

    Raises: ValueError for other shapes, a threshold that is no number, boxes that aren't finite
        or whose edges are in the wrong order; tf.errors.InvalidArgumentError for such values
        inside a tf.function. Boxes without area are fine; their intersection and IoU are 0.

    Example:
        >>> boxes = [[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]]
        >>> merge_boxes(boxes, [0.5, 0.25, 0.625], threshold=0.5)
        ([[0.5, 0, 10.5, 10], [50, 50, 60, 60]], [0.75, 0.625])

    Also for use inside a tf.function, or an exported one, with any number of boxes. On one core of
    a CPU, where the work always runs, 1,000 boxes that all become one take some .07 s, 10,000 some
    1.1 s, and twice that in float64; memory grows with N, not N^2.

    Source: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks", ICLR 2014 (arXiv 1312.6229),
    section 4.3. Left open there: k, t, units, the sign, ties, and how averages of averages weigh.
    """
    if match not in MATCHES:
        raise ValueError(f"`match` must be one of {', '.join(MATCHES)}. Received: match={match!r}")
    if not tf.is_tensor(threshold) and threshold != threshold:
        raise ValueError("`threshold` must be a number. Received: threshold=nan")
    boxes, scores, kinds = checked(boxes, scores, classes)
    if tf.is_tensor(threshold):
        threshold = tf.cast(threshold, boxes.dtype)
    else:
        threshold = tf.constant(threshold, boxes.dtype)
    merge = _compiled(boxes.dtype, scores.dtype, scores.shape.rank, kinds.dtype, match, weighted)
    # Thousands of small steps in a row: no work for a GPU.
    with tf.device("/CPU:0") if device_pins_are_on() else contextlib.nullcontext():
        boxes, sums, kinds, groups = merge(boxes, scores, kinds, threshold)
    sums = tf.ensure_shape(sums, (None, *scores.shape[1:]))
    extra = () if classes is None else (kinds,)
    return boxes, sums, *extra, *((groups,) if return_groups else ())


@functools.cache
def _compiled(boxes, scores, rank, classes, match, weighted):
    """One graph for any number of boxes, so that another number compiles nothing."""
    return tf.function(
        functools.partial(_merge, match=match, weighted=weighted),
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, 4), boxes),
            tf.TensorSpec((None,) * rank, scores),
            tf.TensorSpec((None,), classes),
            tf.TensorSpec((), boxes),
        ],
    )


def _merge(boxes, scores, classes, threshold, match, weighted):
    present = tf.unique(classes).y
    ids = tf.range(tf.shape(boxes)[0])

    def one_class(i, boxes, parents):
        members = tf.where(classes == present[i])[:, 0]  # (n,)
        merged, into = merge_all(tf.gather(boxes, members), threshold, match, weighted)
        into = tf.gather(tf.gather(ids, members), into)
        members = members[:, None]
        boxes = tf.tensor_scatter_nd_update(boxes, members, merged)
        return i + 1, boxes, tf.tensor_scatter_nd_update(parents, members, into)

    _, boxes, parents = tf.while_loop(
        lambda i, *_: i < tf.size(present), one_class, (0, boxes, ids), parallel_iterations=1
    )
    # A box's parent may itself have gone into another one.
    (parents,) = tf.while_loop(
        lambda parents: tf.reduce_any(parents != tf.gather(parents, parents)),
        lambda parents: (tf.gather(parents, parents),),
        (parents,),
    )
    kept = tf.where(parents == ids)[:, 0]
    count = tf.size(kept)
    places = tf.gather(tf.cumsum(tf.cast(parents == ids, tf.int32)) - 1, parents)
    scores = tf.math.unsorted_segment_sum(scores, places, count)
    best = scores if scores.shape.rank == 1 else tf.reduce_max(scores, axis=1)
    order = tf.argsort(best, direction="DESCENDING", stable=True)
    kept = tf.gather(kept, order)
    groups = tf.gather(tf.argsort(order), places)
    return tf.gather(boxes, kept), tf.gather(scores, order), tf.gather(classes, kept), groups
