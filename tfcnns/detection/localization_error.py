"""ILSVRC's localisation error (OverFeat, section 4)."""

import numpy as np

from .annotations import checked_pairs
from .counts import checked_count
from .iou import iou


def localization_error(truths, detections, guesses=5, iou_threshold=0.5):
    """The part of the images in which no guess has the right class and the right box.

    Each image has `guesses` guesses, a class and a box each. A guess is right if an instance of its
    class is in the image, and the IoU of the boxes is at least `iou_threshold` with any of them.

        error = mean over images of  min over guesses of  max(class wrong, box wrong)

    Args:
        truths: dicts as in `tfcnns.detection.annotations`, one for each image: a box for every
            instance. In ILSVRC all are of the image's one class. Images without truths don't count.
        detections: dicts in the same form: the guesses. If there are more, those with the highest
            scores count, of equal scores the earlier.
        guesses: 5 in ILSVRC; 1 gives the top-1 error.
        iou_threshold: the least overlap, in 0..1.

    Returns: dict of
        images: how many count
        error: of class and box, a fraction, or None without images
        class_error: of the classes alone, as in the classification task
        right_class_wrong_box: error - class_error, what the boxes cost
        per_class: dict of a class to images and error; an image counts in each of its classes,
            and there only guesses of this class are right
        wrong: (images,) bool, NumPy, in the order of the images that count

    Raises: ValueError as `checked_pairs`, and for other guesses or thresholds.
    """
    truths, detections = checked_pairs(truths, detections)
    guesses = checked_count("guesses", guesses, least=1)
    if not 0 <= iou_threshold <= 1:
        raise ValueError(
            f"`iou_threshold` must be in 0..1. Received: iou_threshold={iou_threshold}"
        )
    wrong, wrong_class, per_class = [], [], {}
    for truth, found in zip(truths, detections, strict=True):
        if not len(truth["classes"]):
            continue
        best = np.argsort(-found["scores"], kind="stable")[:guesses]
        same = found["classes"][best][:, None] == truth["classes"]  # (guesses, instances)
        right = same & (iou(found["boxes"][best], truth["boxes"]) >= iou_threshold)
        wrong.append(not right.any())
        wrong_class.append(not same.any())
        for c in np.unique(truth["classes"]):
            seen = per_class.setdefault(int(c), [])
            seen.append(not right[:, truth["classes"] == c].any())
    error, class_error = (float(np.mean(x)) if x else None for x in (wrong, wrong_class))
    return {
        "images": len(wrong),
        "error": error,
        "class_error": class_error,
        "right_class_wrong_box": error - class_error if wrong else None,
        "per_class": {
            c: {"images": len(seen), "error": float(np.mean(seen))}
            for c, seen in sorted(per_class.items())
        },
        "wrong": np.array(wrong, bool),
    }
