"""pascal_metrics against a plain loop and by hand."""

import numpy as np
import pytest
import references_detection as references

from tfcnns.detection.pascal_metrics import (
    average_precision_11,
    average_precision_area,
    pascal_metrics,
)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_loop(seed, threshold):
    truths, detections = references.random_scenes(15, 3, seed)
    truths = [{**truth, "crowd": np.zeros(len(truth["classes"]))} for truth in truths]
    metrics = pascal_metrics(truths, detections, iou_threshold=threshold)
    expected = [references.pascal(truths, detections, c, threshold) for c in range(3)]
    for c, (eleven, area) in enumerate(expected):
        assert metrics["per_class"][c]["AP_11"] == pytest.approx(eleven)
        assert metrics["per_class"][c]["AP_area"] == pytest.approx(area)
    assert metrics["mAP_11"] == pytest.approx(np.mean([eleven for eleven, _ in expected]))
    assert metrics["mAP_area"] == pytest.approx(np.mean([area for _, area in expected]))


def test_by_hand():
    # Right, a second time the same, elsewhere, right: 2 of 4 truths found.
    truths = [
        {"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "classes": [1, 1]},
        {"boxes": [[0, 0, 10, 10], [50, 0, 60, 10]], "classes": [1, 1]},
    ]
    detections = [
        {"boxes": [[0, 0, 10, 10], [0, 0, 10, 9]], "classes": [1, 1], "scores": [0.9, 0.8]},
        {"boxes": [[80, 0, 90, 9], [0, 0, 10, 5]], "classes": [1, 1], "scores": [0.7, 0.6]},
    ]
    metrics = pascal_metrics(truths, detections)
    # Precision 1 up to recall .25, then 1 / 2 up to .5.
    assert metrics["per_class"][1]["AP_area"] == pytest.approx(0.25 * 1 + 0.25 * 0.5)
    assert metrics["per_class"][1]["AP_11"] == pytest.approx((3 * 1 + 3 * 0.5) / 11)
    assert metrics["mAP_area"] == metrics["per_class"][1]["AP_area"]
    curve = metrics["curves"][1]
    np.testing.assert_allclose(curve["precision"], [1, 1 / 2, 1 / 3, 2 / 4])
    np.testing.assert_allclose(curve["recall"], [0.25, 0.25, 0.25, 0.5])
    np.testing.assert_allclose(curve["scores"], [0.9, 0.8, 0.7, 0.6])
    one = metrics["per_class"][1]
    assert (one["truths"], one["detections"], one["right"], one["wrong"]) == (4, 4, 2, 2)


def test_difficult_truths_are_neither_asked_for_nor_held_against():
    truth = {"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "classes": [0, 0]}
    found = {**truth, "scores": [0.5, 0.9]}
    found["boxes"] = [[0, 0, 10, 10], [20, 0, 30, 9]]
    for flag in ("difficult", "crowd"):
        metrics = pascal_metrics([{**truth, flag: [False, True]}], [found])
        assert metrics["mAP_11"] == metrics["mAP_area"] == 1
        one = metrics["per_class"][0]
        assert (one["truths"], one["difficult"], one["right"], one["wrong"]) == (1, 1, 1, 0)
    metrics = pascal_metrics([{**truth, "difficult": [True, True]}], [found])
    assert metrics["mAP_area"] is None
    assert metrics["per_class"][0]["AP_11"] is None
    assert metrics["curves"][0]["precision"].size == 0


def test_half_is_enough_and_the_best_overlap_counts():
    truth = {"boxes": [[0, 0, 10, 10], [0, 0, 10, 6]], "classes": [0, 0]}

    def right(box):
        found = {"boxes": [box], "classes": [0], "scores": [1]}
        return pascal_metrics([truth], [found])["per_class"][0]["right"]

    assert right([5, 0, 10, 10]) == 1  # IoU .5 exactly
    assert right([5.01, 0, 10, 10]) == 0
    # The second detection is nearest to a truth that is taken, though another would do.
    found = {"boxes": [[0, 0, 10, 10], [0, 0, 10, 9]], "classes": [0, 0], "scores": [0.9, 0.8]}
    assert pascal_metrics([truth], [found])["per_class"][0]["wrong"] == 1


def test_classes_without_truths_or_detections():
    truth = {"boxes": [[0, 0, 10, 10]], "classes": [0]}
    found = {"boxes": [[0, 0, 10, 10]], "classes": [2], "scores": [1]}
    metrics = pascal_metrics([truth], [found], classes=4)
    assert metrics["mAP_11"] == metrics["mAP_area"] == 0
    assert metrics["per_class"][2]["AP_area"] is None
    assert metrics["per_class"][2]["wrong"] == 1
    assert metrics["per_class"][3]["detections"] == 0
    assert pascal_metrics([], [])["mAP_area"] is None


def test_boxes_without_area_are_never_right_and_never_nan():
    truth = {"boxes": [[5, 5, 5, 5], [0, 5, 9, 5]], "classes": [0, 0]}
    metrics = pascal_metrics([truth], [{**truth, "scores": [1, 1]}])
    assert metrics["mAP_11"] == metrics["mAP_area"] == 0


def test_the_two_forms_on_arrays():
    recall, precision = np.array([0.3, 0.3, 1.0]), np.array([1.0, 0.5, 0.75])
    assert average_precision_11(recall, precision) == pytest.approx((4 + 7 * 0.75) / 11)
    assert average_precision_area(recall, precision) == pytest.approx(0.3 + 0.7 * 0.75)
    assert average_precision_11(np.zeros(0), np.zeros(0)) == 0
    assert average_precision_area(np.zeros(0), np.zeros(0)) == 0


def test_equal_scores_keep_their_order():
    truth = {"boxes": [[0, 0, 10, 10]], "classes": [0]}
    hit, miss = [0, 0, 10, 10], [50, 0, 60, 10]
    for boxes, expected in (([hit, miss], 1), ([miss, hit], 0.5)):
        found = {"boxes": boxes, "classes": [0, 0], "scores": [0.5, 0.5]}
        assert pascal_metrics([truth], [found])["mAP_area"] == expected


@pytest.mark.parametrize("threshold", [0, -0.5, 1.1, np.nan])
def test_refuses_thresholds(threshold):
    with pytest.raises(ValueError, match="Received: iou_threshold="):
        pascal_metrics([], [], iou_threshold=threshold)
