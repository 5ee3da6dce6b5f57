"""COCO's average precision and recall, computed by pycocotools itself."""

import contextlib
import io

import numpy as np

from .annotations import checked_pairs
from .coco_format import to_ground_truth, to_results

SIZES = ("all", "small", "medium", "large")  # below 32^2, below 96^2 and above, square pixels


def coco_metrics(
    truths, detections, classes=None, iou_thresholds=None, max_detections=(1, 10, 100)
):
    """Mean average precision and recall as COCO's evaluation has them.

    The numbers are COCOeval's: detections of a class are matched to its truths from the most
    certain down, each truth once; precision at 101 levels of recall is averaged over levels,
    classes and IoU thresholds. A detection that lies in a crowd is neither right nor wrong. Classes
    without truths don't count. keras_cv.metrics.BoxCOCOMetrics calls the same COCOeval, and gives
    the same where no scores are equal (it sorts images by their numbers as text), but it knows no
    crowds and only padded batches.

    Args:
        truths, detections: dicts as in `tfcnns.detection.annotations`, one of each per image.
        classes: how many there are; None takes those that occur in the truths.
        iou_thresholds: ascending; None for COCO's .5, .55, ..., .95.
        max_detections: three limits of detections per image and class, ascending: the first two
            for recall, the last for everything.

    Returns: dict of
        AP, AP50, AP75: mean average precision over all thresholds, at IoU .5, at .75
        AP_small, AP_medium, AP_large: of truths below 32^2, 96^2 and above 96^2 square pixels
        AR_1, AR_10, AR_100: mean largest recall, by `max_detections`
        AR_small, AR_medium, AR_large: with the last limit
        per_class: dict of a class to its AP, AP50, AP75, AR, truths (crowds aside), detections
        curves: dict of iou (T,), recall (101,), classes (K,) and precision (T, 101, K), NumPy,
            NaN for a class without truths; for all sizes, with the last limit
    where nothing can be measured, None.

    Raises: ValueError as `checked_pairs`, and for limits or thresholds of another form.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, detections = checked_pairs(truths, detections)
    limits = [int(limit) for limit in max_detections]
    if len(limits) != 3 or sorted(set(limits)) != limits or limits[0] < 1:
        raise ValueError(
            "`max_detections` must be three ascending positive integers. "
            f"Received: max_detections={max_detections}"
        )
    truth, result = COCO(), COCO()
    truth.dataset = to_ground_truth(truths, classes=classes)
    result.dataset = {**truth.dataset, "annotations": to_results(detections)}
    for i, one in enumerate(result.dataset["annotations"]):
        one.update(id=i + 1, area=one["bbox"][2] * one["bbox"][3], iscrowd=0)
    with contextlib.redirect_stdout(io.StringIO()):  # COCOeval reports each of its steps
        truth.createIndex()
        result.createIndex()
        evaluation = COCOeval(truth, result, "bbox")
        evaluation.params.maxDets = limits
        if iou_thresholds is not None:
            evaluation.params.iouThrs = _checked_thresholds(iou_thresholds)
        evaluation.evaluate()
        evaluation.accumulate()
    params = evaluation.params
    # (T, 101, K, sizes, limits) and (T, K, sizes, limits), -1 where there are no truths
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]

    def at(threshold):
        chosen = np.isclose(params.iouThrs, threshold)
        return precision[chosen, :, :, 0, -1]

    stats = {"AP": _mean(precision[..., 0, -1]), "AP50": _mean(at(0.5)), "AP75": _mean(at(0.75))}
    for i, size in enumerate(SIZES[1:], start=1):
        stats[f"AP_{size}"] = _mean(precision[..., i, -1])
    for i, limit in enumerate(limits):
        stats[f"AR_{limit}"] = _mean(recall[..., 0, i])
    for i, size in enumerate(SIZES[1:], start=1):
        stats[f"AR_{size}"] = _mean(recall[..., i, -1])
    stats["per_class"] = {}
    for k, c in enumerate(params.catIds):
        stats["per_class"][int(c)] = {
            "AP": _mean(precision[:, :, k, 0, -1]),
            "AP50": _mean(at(0.5)[..., k]),
            "AP75": _mean(at(0.75)[..., k]),
            "AR": _mean(recall[:, k, 0, -1]),
            "truths": sum(int(((one["classes"] == c) & ~one["crowd"]).sum()) for one in truths),
            "detections": sum(int((one["classes"] == c).sum()) for one in detections),
        }
    curves = precision[..., 0, -1]
    stats["curves"] = {
        "iou": np.array(params.iouThrs),
        "recall": np.array(params.recThrs),
        "classes": np.array(params.catIds, np.int64),
        "precision": np.where(curves < 0, np.nan, curves),
    }
    return stats


def _mean(values):
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def _checked_thresholds(thresholds):
    thresholds = np.asarray(thresholds, np.float64)
    if thresholds.ndim != 1 or not len(thresholds) or not (np.diff(thresholds) > 0).all():
        raise ValueError(
            f"`iou_thresholds` must be an ascending list. Received: {thresholds.tolist()}"
        )
    if thresholds[0] <= 0 or thresholds[-1] > 1:
        raise ValueError(f"`iou_thresholds` must be in 0..1. Received: {thresholds.tolist()}")
    return thresholds
