"""From an image to boxes, classes and scores (OverFeat, sections 4.3 and 5)."""

import logging
import weakref
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops

from tfcnns.pipelines.transforms import resize

from .candidates import top_class_boxes
from .counts import checked_count
from .dense import dense_net
from .merge import merge_boxes
from .scales import default_scales, scaled_shape
from .suppress import suppress_boxes
from .windows import boxes_in_pixels, window_boxes

JOINS = ("merge", "suppress", "none")

_SAID = weakref.WeakSet()  # models of which it was said that their outputs aren't finite


class Candidates(NamedTuple):
    """Boxes of windows, before they are merged.

    boxes: (M, 4) float32, edges x0, y0, x1, y1 in pixels, inside the image. scores: (M,) float32,
    the class output of the window. classes: (M,) int32.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    classes: tf.Tensor


def detect(
    model,
    image,
    scales=None,
    *,
    k=5,
    background=False,
    window_score=0.0,
    threshold=0.7,
    join="merge",
    match="iou",
    weighted=False,
    least_score=0.0,
    max_boxes=100,
    per_class=None,
):
    """What is in an image, and where.

    At each scale the model slides over the image; the boxes of the k classes that are most
    certain somewhere at that scale become one list (`top_class_boxes`), whose boxes are merged
    class by class (`merge_boxes`); a merged box has the sum of the scores that went into it.

    Args:
        model: an OverFeat with both heads, `overfeat(head="both")`.
        image: (H, W, C) as for `dense_map`.
        scales: short sides in pixels, or pairs (height, width), as for `scaled_shape`; None for
            the six `default_scales`.
        k: how many classes at each scale; the paper doesn't tell.
        background: whether the classifier's last class is the background, which has no boxes.
        window_score: windows with a class output below it give no box. Not in the paper, where
            all windows vote; without a background class 0 is that.
        threshold: the largest match score that merges, or, with join="suppress", the largest IoU
            that doesn't suppress.
        join: "merge" as the paper does, "suppress" (`suppress_boxes`), or "none".
        match, weighted: as for `merge_boxes`.
        least_score: detections below it are left out.
        max_boxes: at most so many are returned; None for no limit.
        per_class: at most so many of each class, the best; None for no limit. To localise, as
            ILSVRC asks for five classes with a box each, it is 1.

    A window whose score or box isn't finite gives no box. Outside of graphs a line in the log
    says so, once for each model.

    Returns: boxes (n, 4) float32, edges x0, y0, x1, y1 in pixels, inside the image; classes (n,)
        int32; scores (n,) float32, largest first. A merged score is a sum over windows, so that
        it isn't a probability and may exceed 1.

    Raises: ValueError for a model that lacks a head, an unknown `join`, a number of boxes below 0
        (`per_class` below 1), a `least_score` or `window_score` that is NaN, and as `dense_map`,
        `scaled_shape`, `top_class_boxes` and `merge_boxes`.
    """
    if join not in JOINS:
        raise ValueError(f"`join` must be one of {', '.join(JOINS)}. Received: join={join!r}")
    for name, least in (("window_score", window_score), ("least_score", least_score)):
        if not tf.is_tensor(least) and least != least:
            raise ValueError(f"`{name}` must be a number. Received: {name}=nan")
    max_boxes = checked_count("max_boxes", max_boxes, none=True)
    per_class = checked_count("per_class", per_class, least=1, none=True)
    found = candidates(model, image, scales, k=k, background=background, window_score=window_score)
    boxes, scores, classes = join_boxes(found, threshold, join, match, weighted)
    kept = tf.where(scores >= least_score)[:, 0]
    if per_class is not None:
        kept = tf.gather(kept, _first_of_each(tf.gather(classes, kept), per_class))
    kept = kept[:max_boxes]
    return tf.gather(boxes, kept), tf.gather(classes, kept), tf.gather(scores, kept)


def candidates(model, image, scales=None, *, k=5, background=False, window_score=0.0):
    """The boxes of all scales that `detect` merges, as `Candidates`; arguments as there."""
    parts = list(scale_candidates(model, image, scales, k, background, window_score))
    return Candidates(*(tf.concat(column, axis=0) for column in zip(*parts, strict=True)))


def join_boxes(found, threshold=0.7, join="merge", match="iou", weighted=False):
    """`Candidates` as boxes, scores and classes, each class joined by itself, best first."""
    boxes, scores, classes = found
    if join == "merge":
        return merge_boxes(boxes, scores, threshold, classes, match, weighted)
    if join == "suppress":
        return suppress_boxes(boxes, scores, threshold, classes)
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    return tuple(tf.gather(column, order) for column in found)


def scale_maps(model, image, scales=None, background=False):
    """The windows of an image at one scale after the other.

    Args: as for `detect`.
    Yields: windows (H', W', 4), boxes (H', W', 4) or (H', W', classes, 4), both in pixels of the
        image, and scores (H', W', classes) without the background's.
    """
    net = dense_net(model)
    if set(net.heads) != {"classifier", "boxes"}:
        raise ValueError(
            "expected a model with a classifier and boxes, as of overfeat(head='both'). "
            f"Received: model={model.name}, with {tuple(net.heads)}"
        )
    image = net.checked(image)
    shape = ops.shape(image)
    scales = default_scales(net.geometry) if scales is None else list(scales)
    if not scales:
        raise ValueError("expected at least one scale. Received: scales=[]")
    for scale in scales:
        scaled = scaled_shape(net.geometry, shape, scale)
        maps = net(net.fitted(resize(image, *scaled))[None])
        windows = window_boxes(net.geometry, shape, scaled)
        scores = maps["classifier"][0]
        boxes = maps["boxes"][0]
        if background:
            scores = scores[..., :-1]
            if len(boxes.shape) == 4:
                boxes = boxes[..., :-1, :]
        yield windows, boxes_in_pixels(windows, boxes), scores


def scale_candidates(model, image, scales, k, background, window_score):
    """`Candidates` of one scale after the other."""
    height, width = ops.shape(image)[:2]
    most = tf.cast(tf.stack([width, height, width, height]), tf.float32)
    for _, boxes, scores in scale_maps(model, image, scales, background):
        fine = tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
        fine = tf.math.is_finite(scores) & (fine if boxes.shape.rank == 4 else fine[..., None])
        _say_unless(fine, model)
        # Before classes are chosen: what isn't finite takes no one's place.
        boxes, scores, classes = top_class_boxes(boxes, tf.where(fine, scores, -np.inf), k)
        kept = tf.where((scores >= window_score) & tf.math.is_finite(scores))[:, 0]
        boxes = tf.clip_by_value(tf.gather(boxes, kept), 0.0, most)
        # An untrained regressor may have its edges in the wrong order.
        boxes = tf.concat(
            [
                tf.minimum(boxes[:, :2], boxes[:, 2:]),
                tf.maximum(boxes[:, :2], boxes[:, 2:]),
            ],
            axis=1,
        )
        yield Candidates(boxes, tf.gather(scores, kept), tf.gather(classes, kept))


def _first_of_each(classes, count):
    """Places of the first `count` of each class, in their order."""
    order = tf.argsort(classes, stable=True)
    _, run, sizes = tf.unique_with_counts(tf.gather(classes, order))
    # How many of its class come before each.
    before = tf.range(tf.size(classes)) - tf.gather(tf.cumsum(sizes, exclusive=True), run)
    return tf.sort(tf.boolean_mask(order, before < count))


def _say_unless(fine, model):
    """A line in the log if some window is not `fine`; of each model only the first."""
    if not tf.executing_eagerly() or model in _SAID or tf.reduce_all(fine):
        return
    _SAID.add(model)
    logging.getLogger(__name__).warning(
        "model %s gives NaN or infinity in %s of %s windows of an image; no box comes of that "
        "(said once)",
        model.name,
        f"{int(tf.math.count_nonzero(~tf.reduce_all(fine, axis=-1))):,}",
        f"{int(tf.size(fine[..., 0])):,}",
    )
