"""How well a run localises or detects, on images with boxes."""

import numpy as np

from tfcnns.pipelines import jpeg

from .coco_metrics import coco_metrics
from .detect import detect
from .localization_error import localization_error
from .pascal_metrics import pascal_metrics
from .vote import multiscale_vote


def detect_all(model, source, arguments, progress=None):
    """`detect` on every image of a source.

    Args:
        model: an OverFeat with both heads.
        source: a `pipelines.source.Source` of (image, boxes, labels) or (..., crowd), the image
            in memory or encoded.
        arguments: dict of `detect`'s keyword arguments.
        progress: called with the number of images done after each, or None.

    Returns: truths and detections, as in `tfcnns.detection.annotations`.
    """
    truths, detections = [], []
    for image, boxes, labels, *crowd in _decoded(source):
        real = labels >= 0
        truth = {"boxes": boxes[real], "classes": labels[real]}
        if crowd:
            truth.update(crowd=crowd[0][real], difficult=crowd[0][real])
        truths.append(truth)
        detections.append(as_detection(*detect(model, image, **arguments)))
        if progress:
            progress(len(truths))
    return truths, detections


def vote_all(model, dataset, arguments, progress=None):
    """`multiscale_vote` on every image of a dataset.

    Args:
        model: an OverFeat with a classifier.
        dataset: of (images, labels) batches of one whole image, (1, H, W, C), each of any size.
        arguments: dict of `multiscale_vote`'s keyword arguments.
        progress: called with the number of images done after each, or None.

    Returns:
        labels (N,) int64 and scores (N, classes) float32, NumPy: the votes, each row divided by
        its sum, so that `training.evaluation.measure` has probabilities; their order stays.
    """
    labels, scores = [], []
    for images, label in dataset.prefetch(2).as_numpy_iterator():
        votes = np.asarray(multiscale_vote(model, images[0], **arguments))
        labels.append(label.reshape(()))
        scores.append(votes / votes.sum())
        if progress:
            progress(len(labels))
    return np.stack(labels).astype(np.int64), np.stack(scores)


def images_of(source):
    """The decoded images of a source, a list of uint8 (H, W, C)."""
    return [image for image, *_ in _decoded(source)]


def as_detection(boxes, classes, scores):
    """What `detect` returns as a dict of NumPy arrays."""
    return {"boxes": np.array(boxes), "classes": np.array(classes), "scores": np.array(scores)}


def measure_localization(truths, detections):
    """ILSVRC's error of five guesses, and of the best one, as a dict for JSON.

    A guess is a class with its best box, so that five guesses are five classes: an image whose
    best boxes are all of one class has the others' in its guesses too.

    Args:
        truths, detections: as `detect_all` returns them, best with `per_class=1` among its
            arguments, without which boxes of one class may use up `max_boxes`.

    Returns: dict of images, error, class_error, right_class_wrong_box, top1_error, and per_class:
        a list of class, images, error.
    """
    detections = [best_of_each_class(one) for one in detections]
    five = localization_error(truths, detections)
    result = {
        name: five[name] for name in ("images", "error", "class_error", "right_class_wrong_box")
    }
    result["top1_error"] = localization_error(truths, detections, guesses=1)["error"]
    result["per_class"] = [{"class": c, **row} for c, row in five["per_class"].items()]
    return result


def best_of_each_class(detection):
    """The box of each class with the highest score, of equal ones the first; best class first.

    detection: dict of boxes, classes and scores. Returns: such a dict.
    """
    order = np.argsort(-np.asarray(detection["scores"], np.float64), kind="stable")
    _, first = np.unique(np.asarray(detection["classes"])[order], return_index=True)
    kept = order[np.sort(first)]
    return {name: np.asarray(values)[kept] for name, values in detection.items()}


def measure_detection(truths, detections, classes):
    """Mean average precision as COCO and as PASCAL have it.

    Args:
        truths, detections: as `detect_all` returns them.
        classes: how many there are, without the background.

    Returns: dict for JSON of images, AP, AP50, AP75 (COCO), mAP_area, mAP_11 (PASCAL, IoU .5), and
        per_class: a list of class, truths, detections, AP, AP50, AP_area; and the curves at IoU
        .5 as `plot_precision_recall` takes them: dict of recall (101,), precision (101, classes).
    """
    coco = coco_metrics(truths, detections, classes=classes)
    pascal = pascal_metrics(truths, detections, classes=classes)
    result = {"images": len(truths)}
    result |= {name: coco[name] for name in ("AP", "AP50", "AP75")}
    result |= {name: pascal[name] for name in ("mAP_area", "mAP_11")}
    result["per_class"] = [
        {
            "class": c,
            "truths": row["truths"],
            "detections": row["detections"],
            "AP": row["AP"],
            "AP50": row["AP50"],
            "AP_area": pascal["per_class"][c]["AP_area"],
        }
        for c, row in coco["per_class"].items()
    ]
    curves = coco["curves"]
    return result, {"recall": curves["recall"], "precision": curves["precision"][0]}


def _decoded(source):
    dataset = source.dataset().map(lambda image, *rest: (jpeg.decode(image), *rest))
    return dataset.prefetch(2).as_numpy_iterator()
