"""Boxes of images: what is true, and what was detected. The one form all metrics read.

One dict for each image, of NumPy arrays, lists or tensors, with n the number of its boxes; an
image without boxes has n = 0. Truths and detections are sequences of such dicts, in the same
order of images.

| key | shape | in | meaning |
|---|---|---|---|
| boxes | (n, 4) | both | edges x0, y0, x1, y1 in pixels: the left edge of an image is 0, its right edge its width |
| classes | (n,) | both | integers from 0 |
| scores | (n,) | detections | confidence; only its order counts |
| crowd | (n,) bool | truths, may be absent | many objects under one box: what lies inside is neither right nor wrong (COCO) |
| difficult | (n,) bool | truths, may be absent | neither asked for nor held against a detection (PASCAL) |
| areas | (n,) | truths, may be absent | of the objects, in square pixels, for COCO's sizes; absent: of the boxes |
"""  # noqa: E501

import numpy as np

FLAGS = ("crowd", "difficult")


def checked_truths(truths):
    """A list of dicts with all the keys of a truth, as NumPy arrays.

    Raises: ValueError, naming the image by its place, for what isn't of the form above. Boxes of
        no size are allowed, boxes with swapped corners or NaN are not.
    """
    return [_checked(truth, f"truths[{i}]", FLAGS) for i, truth in enumerate(truths)]


def checked_detections(detections):
    """A list of dicts with boxes, classes and scores, as NumPy arrays.

    Raises: ValueError as `checked_truths`, and for a score that isn't finite.
    """
    return [_checked(one, f"detections[{i}]", ("scores",)) for i, one in enumerate(detections)]


def checked_pairs(truths, detections):
    """Truths and detections of the same images, both checked.

    Raises: ValueError also if they aren't as many.
    """
    truths, detections = checked_truths(truths), checked_detections(detections)
    if len(truths) != len(detections):
        raise ValueError(
            "expected one dict for each image. "
            f"Received: {len(truths)} truths, {len(detections)} detections"
        )
    return truths, detections


def _checked(image, name, extra):
    if not {"boxes", "classes"} <= set(image) or ("scores" in extra and "scores" not in image):
        raise ValueError(
            f"{name} must have boxes, classes{' and scores' if 'scores' in extra else ''}. "
            f"Received: {', '.join(map(str, image))}"
        )
    boxes = np.asarray(image["boxes"], np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}: boxes must be (n, 4). Received: shape {boxes.shape}")
    wrong = ~np.isfinite(boxes).all(1) | (boxes[:, 2:] < boxes[:, :2]).any(1)
    if wrong.any():
        raise ValueError(
            f"{name}: boxes must be finite, with x0 <= x1 and y0 <= y1. "
            f"Received: {boxes[wrong][0].tolist()}"
        )
    count = len(boxes)
    classes = _column(image["classes"], count, f"{name}: classes")
    if (classes != np.floor(classes)).any() or (classes < 0).any():
        raise ValueError(f"{name}: classes must be integers from 0. Received: {classes.tolist()}")
    result = {"boxes": boxes, "classes": classes.astype(np.int64)}
    for key in extra:
        values = _column(image.get(key, np.zeros(count)), count, f"{name}: {key}")
        result[key] = values.astype(bool) if key in FLAGS else values
    if "scores" not in extra:
        own = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        result["areas"] = _column(image.get("areas", own), count, f"{name}: areas")
    return result


def _column(values, count, name):
    values = np.asarray(values, np.float64)
    if values.shape != (count,) and not (values.size == count == 0):
        raise ValueError(f"{name} must be ({count},), as the boxes. Received: {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite. Received: {values.tolist()}")
    return values.reshape(count)
