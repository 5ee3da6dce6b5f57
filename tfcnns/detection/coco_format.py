"""Detections as COCO's result files hold them, and truths as COCO's annotation files do."""

import json

import numpy as np

from tfcnns.errors import UserError
from tfcnns.files import write_whole

from .annotations import checked_detections, checked_truths

KEYS = ("image_id", "category_id", "bbox", "score")


def to_results(detections, image_ids=None, category_ids=None):
    """A list of COCO's results: dicts of image_id, category_id, bbox [x, y, w, h] and score.

    Args:
        detections: dicts as in `tfcnns.detection.annotations`, one for each image.
        image_ids: the id of each image; None counts from 0.
        category_ids: category_ids[c] is the id of class c; None takes c itself. COCO's own
            80 classes have ids from 1 to 90.

    Raises: ValueError as `checked_detections`, or for a class without an id.
    """
    detections = checked_detections(detections)
    results = []
    for image, one in zip(_image_ids(image_ids, len(detections)), detections, strict=True):
        columns = (
            _categories(one["classes"], category_ids),
            _corner_and_sides(one["boxes"]),
            one["scores"].tolist(),
        )
        for values in zip(*columns, strict=True):
            results.append(dict(zip(KEYS, (image, *values), strict=True)))
    return results


def to_ground_truth(truths, image_ids=None, category_ids=None, classes=None):
    """COCO's annotation file as a dict: images, categories and annotations with crowds and areas.

    Args:
        truths: dicts as in `tfcnns.detection.annotations`, one for each image.
        image_ids, category_ids: as for `to_results`.
        classes: how many classes there are; None takes those that occur.
    """
    truths = checked_truths(truths)
    image_ids = _image_ids(image_ids, len(truths))
    present = set(range(classes or 0)).union(*(truth["classes"].tolist() for truth in truths))
    annotations = []
    for image, truth in zip(image_ids, truths, strict=True):
        columns = (
            _categories(truth["classes"], category_ids),
            _corner_and_sides(truth["boxes"]),
            truth["areas"].tolist(),
            truth["crowd"].tolist(),
        )
        for category, bbox, area, crowd in zip(*columns, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools reads 0 as "no match"
                    "image_id": image,
                    "category_id": category,
                    "bbox": bbox,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    return {
        "images": [{"id": image} for image in image_ids],
        "categories": [{"id": c} for c in _categories(sorted(present), category_ids)],
        "annotations": annotations,
    }


def write_detections(path, detections, image_ids=None, category_ids=None):
    """Writes COCO's result file, usually called detections.json; arguments as for `to_results`.

    Raises: UserError, naming the file, if it can't be written. A file that was there before stays
        until the new one is whole.
    """
    text = json.dumps(to_results(detections, image_ids, category_ids))
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from error


def read_detections(path, image_ids, category_ids=None):
    """The dicts that `write_detections` was given, in the order of `image_ids`.

    Args:
        path: a file of COCO's results, of any origin.
        image_ids: of all images; those that the file doesn't mention have no boxes.
        category_ids: as for `to_results`.

    Raises: UserError, naming the file, if it isn't such a file, or has an image or a category
        that isn't in the list.
    """
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} isn't JSON: {error}") from error
    if not isinstance(results, list):
        raise UserError(f"{path} must hold a list of COCO's results")
    of_image = {image: [] for image in image_ids}
    classes = None
    if category_ids is not None:
        classes = {category: c for c, category in enumerate(category_ids)}
    for i, result in enumerate(results):
        if not isinstance(result, dict) or not set(KEYS) <= set(result):
            raise UserError(f"{path}: result {i} must have {', '.join(KEYS)}")
        image, category = result["image_id"], result["category_id"]
        if image not in of_image:
            raise UserError(f"{path}: result {i} is of image {image!r}, which isn't in the list")
        if classes is not None and category not in classes:
            raise UserError(f"{path}: result {i} is of category {category!r}, which has no class")
        label = category if classes is None else classes[category]
        of_image[image].append((result["bbox"], label, result["score"]))
    try:
        return checked_detections(map(_detection, of_image.values()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}") from error


def _detection(rows):
    corner_and_sides = np.array([bbox for bbox, _, _ in rows], np.float64).reshape(len(rows), 4)
    corner, sides = corner_and_sides[:, :2], corner_and_sides[:, 2:]
    return {
        "boxes": np.concatenate([corner, corner + sides], axis=1),
        "classes": [label for _, label, _ in rows],
        "scores": [score for _, _, score in rows],
    }


def _image_ids(image_ids, count):
    image_ids = list(range(count)) if image_ids is None else np.asarray(image_ids).tolist()
    if len(image_ids) != count or len(set(image_ids)) != count:
        raise ValueError(
            f"expected {count} different image ids. Received: {len(image_ids)} ids, "
            f"{len(set(image_ids))} of them different"
        )
    return image_ids


def _categories(classes, category_ids):
    classes = [int(c) for c in classes]
    if category_ids is None:
        return classes
    if classes and max(classes) >= len(category_ids):
        raise ValueError(
            f"class {max(classes)} has no id. Received: {len(category_ids)} category ids"
        )
    return [int(category_ids[c]) for c in classes]


def _corner_and_sides(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
