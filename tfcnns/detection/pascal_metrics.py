"""PASCAL VOC's average precision."""

import numpy as np

from .annotations import checked_pairs
from .iou import iou


def pascal_metrics(truths, detections, classes=None, iou_threshold=0.5):
    """Mean average precision as in the PASCAL VOC challenges, both published forms.

    Detections of a class go from the most certain down, over all images together. Each takes the
    truth of its class and image that it overlaps most. If that IoU is at least `iou_threshold`:
    right, if the truth is new; wrong, if an earlier detection took it; neither, if the truth is
    difficult. With less overlap it is wrong. Then, over ranks, with precision p and recall r,

        AP_11    mean over t = 0, .1, ..., 1 of  max p where r >= t         (until 2009)
        AP_area  sum over steps of r of  (its size) (max p at this r or more)      (since 2010)

    Of equal scores, the earlier image's, then the earlier in its list, comes first. Edges are taken
    as the borders of pixels: VOC's files hold the numbers, from 1, of the first and last pixel, so
    that x0 = xmin - 1, x1 = xmax gives what VOC's own code, which adds a pixel, computes.

    Args:
        truths, detections: dicts as in `tfcnns.detection.annotations`, one of each per image.
            Crowds count as difficult.
        classes: how many there are; None takes those that occur in the truths or detections.
        iou_threshold: the least overlap, above 0 and at most 1.

    Returns: dict of
        mAP_11, mAP_area: means over the classes that have truths which aren't difficult, or None
        per_class: dict of a class to its AP_11, AP_area (None without such truths), truths,
            difficult, detections, right and wrong
        curves: dict of a class to precision, recall and scores, NumPy, one entry a detection that
            is right or wrong, best first; recall NaN without truths

    Raises: ValueError as `checked_pairs`, and for another threshold.
    """
    truths, detections = checked_pairs(truths, detections)
    if not 0 < iou_threshold <= 1:
        raise ValueError(
            f"`iou_threshold` must be above 0, at most 1. Received: iou_threshold={iou_threshold}"
        )
    present = set(range(classes or 0)).union(
        *(one["classes"].tolist() for one in truths + detections)
    )
    per_class, curves = {}, {}
    for c in sorted(present):
        per_class[c], curves[c] = _of_class(c, truths, detections, iou_threshold)
    return {
        "mAP_11": _mean(one["AP_11"] for one in per_class.values()),
        "mAP_area": _mean(one["AP_area"] for one in per_class.values()),
        "per_class": per_class,
        "curves": curves,
    }


def _of_class(c, truths, detections, iou_threshold):
    scores, right, wrong = [], [], []
    asked = difficult = 0
    for truth, found in zip(truths, detections, strict=True):
        true, mine = truth["classes"] == c, found["classes"] == c
        ignored = (truth["difficult"] | truth["crowd"])[true]
        asked, difficult = asked + int((~ignored).sum()), difficult + int(ignored.sum())
        # Matches never reach beyond an image, so that ranking within it is enough for them.
        order = np.argsort(-found["scores"][mine], kind="stable")
        overlaps = iou(found["boxes"][mine][order], truth["boxes"][true])
        scores.append(found["scores"][mine][order])
        outcome = np.zeros((2, len(order)), bool)  # right, wrong
        taken = np.zeros(len(ignored), bool)
        for i, row in enumerate(overlaps):
            best = row.argmax() if len(row) else None
            if best is None or row[best] < iou_threshold:
                outcome[1, i] = True
            elif not ignored[best]:
                outcome[int(taken[best]), i] = True
                taken[best] = True
        right.append(outcome[0])
        wrong.append(outcome[1])
    scores, right, wrong = (np.concatenate([*parts, []]) for parts in (scores, right, wrong))
    order = np.argsort(-scores, kind="stable")
    order = order[(right + wrong)[order] > 0]
    right, wrong = right[order].cumsum(), wrong[order].cumsum()
    precision = right / (right + wrong)
    recall = right / asked if asked else np.full(len(right), np.nan)
    summary = {
        "AP_11": average_precision_11(recall, precision) if asked else None,
        "AP_area": average_precision_area(recall, precision) if asked else None,
        "truths": asked,
        "difficult": difficult,
        "detections": len(scores),
        "right": int(right[-1]) if len(right) else 0,
        "wrong": int(wrong[-1]) if len(wrong) else 0,
    }
    return summary, {"precision": precision, "recall": recall, "scores": scores[order]}


def average_precision_11(recall, precision):
    """Mean of the best precision at recall t or more, t = 0, .1, ..., 1; arrays (n,)."""
    levels = np.arange(11) / 10  # exact: a recall of 3 in 10 reaches the level .3
    return float(np.mean([precision[recall >= t].max(initial=0) for t in levels]))


def average_precision_area(recall, precision):
    """Area under the precision that never rises with recall; arrays (n,), recall ascending."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * envelope).sum())


def _mean(values):
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else None
