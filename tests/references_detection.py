"""Merging, suppression and the detection metrics in NumPy, written from their definitions.

They are slow and obvious on purpose and know nothing of this package. Boxes are x0, y0, x1, y1.
"""

import numpy as np


def areas(a, b):
    """Intersections and unions of boxes (..., 4) that broadcast against each other."""
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    area_a, area_b = ((x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (a, b))
    return intersection, area_a + area_b - intersection


def iou(a, b):
    """Intersection over union; 0 for two boxes without area."""
    intersection, union = areas(a, b)
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def match_score(a, b, match="iou"):
    """OverFeat, section 4.3: distance of the centres, and how little the boxes overlap."""
    two = a.dtype.type(2)
    x = (a[..., 0] + a[..., 2]) - (b[..., 0] + b[..., 2])
    y = (a[..., 1] + a[..., 3]) - (b[..., 1] + b[..., 3])
    sides = sum((c[..., 2] - c[..., 0]) + (c[..., 3] - c[..., 1]) for c in (a, b))
    # Twice the distance over twice the mean of the four sides.
    distance = np.sqrt(x * x + y * y) / (sides / two)
    intersection, union = areas(a, b)
    if match == "iou":
        return distance + (1 - intersection / union)
    share = intersection / ((union + intersection) / two)
    return distance + (1 - share if match == "intersection" else share)


def merge(boxes, scores, threshold, match="iou", weighted=False):
    """OverFeat, section 4.3, steps (d) to (g): all pairs are scored again after every merge.

    Returns boxes, scores and the place that each input box went to, best score first.
    """
    boxes, scores = np.array(boxes), np.array(scores)
    alive = list(range(len(boxes)))
    weights = np.ones(len(boxes), boxes.dtype)
    place = np.arange(len(boxes))
    while len(alive) > 1:
        some = boxes[alive]
        pairs = match_score(some[:, None], some[None], match)
        pairs[np.tril_indices(len(alive))] = np.inf
        i, j = np.unravel_index(np.argmin(pairs), pairs.shape)
        if pairs[i, j] > threshold:
            break
        first, second = alive[i], alive.pop(j)
        a, b = weights[[first, second]] if weighted else (boxes.dtype.type(1),) * 2
        boxes[first] = (boxes[first] * a + boxes[second] * b) / (a + b)
        weights[first] += weights[second]
        scores[first] += scores[second]
        place[place == second] = first
    best = scores[alive].reshape(len(alive), -1).max(1)
    order = [alive[i] for i in np.argsort(-best, kind="stable")]
    return boxes[order], scores[order], np.array([order.index(p) for p in place], int)


def suppress(boxes, scores, iou_threshold):
    """Non-maximum suppression: places of what is kept, best first."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(iou(boxes[i], boxes[j]) <= iou_threshold for j in kept):
            kept.append(i)
    return kept


def ranked(truths, detections, c):
    """All detections of class c as (score, image, place), best first."""
    of_class = [
        (-score, image, place)
        for image, one in enumerate(detections)
        for place, (score, kind) in enumerate(zip(one["scores"], one["classes"], strict=True))
        if kind == c
    ]
    return sorted(of_class)


def pascal(truths, detections, c, threshold=0.5):
    """PASCAL VOC's AP of class c: 11 points, area. None without truths that aren't difficult."""
    asked = sum(
        kind == c and not hard
        for one in truths
        for kind, hard in zip(one["classes"], one["difficult"], strict=True)
    )
    if not asked:
        return None, None
    taken, right, wrong = set(), 0, 0
    recall, precision = [], []
    for _, image, place in ranked(truths, detections, c):
        best, best_iou = None, -1
        for t, kind in enumerate(truths[image]["classes"]):
            overlap = iou(truths[image]["boxes"][t], detections[image]["boxes"][place])
            if kind == c and overlap > best_iou:
                best, best_iou = t, overlap
        if best_iou >= threshold:
            if truths[image]["difficult"][best]:
                continue
            right += (image, best) not in taken
            wrong += (image, best) in taken
            taken.add((image, best))
        else:
            wrong += 1
        recall.append(right / asked)
        precision.append(right / (right + wrong))
    points = [
        max([p for r, p in zip(recall, precision, strict=True) if r >= t / 10], default=0)
        for t in range(11)
    ]
    area = 0
    for i, r in enumerate(recall):
        area += (r - (recall[i - 1] if i else 0)) * max(precision[i:])
    return sum(points) / 11, area


def localization_error(truths, detections, guesses=5, threshold=0.5):
    """ILSVRC: images without a guess of the right class and box, over images."""
    wrong = 0
    for truth, found in zip(truths, detections, strict=True):
        best = sorted(range(len(found["scores"])), key=lambda i: (-found["scores"][i], i))
        wrong += not any(
            found["classes"][i] == truth["classes"][j]
            and iou(found["boxes"][i], truth["boxes"][j]) >= threshold
            for i in best[:guesses]
            for j in range(len(truth["classes"]))
        )
    return wrong / len(truths)


def random_scenes(images, classes, seed=0, side=300):
    """Truths, some of them crowds or difficult, and detections near them and elsewhere.

    Sizes reach over all of COCO's ranges; scores have ties; some images are empty.
    """
    rng = np.random.default_rng(seed)
    truths, detections = [], []
    for _ in range(images):
        n, extra = rng.integers(0, 7), rng.integers(0, 6)
        corner, sides = rng.uniform(0, side, (n, 2)), rng.uniform(4, side / 2, (n, 2))
        boxes = np.concatenate([corner, corner + sides], axis=1)
        kinds = rng.integers(0, classes, n)
        truths.append(
            {
                "boxes": boxes,
                "classes": kinds,
                "crowd": rng.uniform(size=n) < 0.2,
                "difficult": rng.uniform(size=n) < 0.2,
            }
        )
        again = rng.integers(0, n, 2 * n) if n else np.zeros(0, int)
        near = boxes[again] + rng.normal(scale=0.12, size=(2 * n, 4)) * np.tile(sides[again], 2)
        corner = rng.uniform(0, side, (extra, 2))
        far = np.concatenate([corner, corner + rng.uniform(0, side / 3, (extra, 2))], axis=1)
        boxes = np.concatenate([near, far])
        boxes = np.concatenate(
            [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1
        )
        kinds = np.concatenate([kinds[again], rng.integers(0, classes, extra)])
        swap = rng.uniform(size=len(kinds)) < 0.1
        kinds[swap] = rng.integers(0, classes, swap.sum())
        scores = np.round(rng.uniform(size=len(kinds)), 2)
        detections.append({"boxes": boxes, "classes": kinds, "scores": scores})
    return truths, detections
