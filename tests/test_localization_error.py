"""localization_error against a plain loop and by hand."""

import numpy as np
import pytest
import references_detection as references

from tfcnns.detection.localization_error import localization_error


@pytest.mark.parametrize("guesses", [1, 2, 5])
def test_equals_the_loop(guesses):
    truths, detections = references.random_scenes(60, 4, guesses)
    some = [i for i, truth in enumerate(truths) if len(truth["classes"])]
    result = localization_error(truths, detections, guesses)
    truths, detections = [truths[i] for i in some], [detections[i] for i in some]
    assert result["error"] == references.localization_error(truths, detections, guesses)
    assert result["images"] == len(some) < 60
    assert result["error"] == result["wrong"].mean()
    assert 0 <= result["class_error"] < result["error"] < 1


def test_by_hand():
    box, elsewhere = [0, 0, 10, 10], [50, 50, 60, 60]
    truth = {"boxes": [box, elsewhere], "classes": [3, 3]}

    def error(boxes, classes, scores, guesses=5):
        found = {"boxes": boxes, "classes": classes, "scores": scores}
        result = localization_error([truth], [found], guesses)
        return result["error"], result["class_error"], result["right_class_wrong_box"]

    assert error([elsewhere], [3], [1]) == (0, 0, 0)  # any instance will do
    assert error([[0, 0, 10, 5]], [3], [1]) == (0, 0, 0)  # half is enough
    assert error([[0, 0, 10, 4.9]], [3], [1]) == (1, 0, 1)
    assert error([box], [2], [1]) == (1, 1, 0)
    # A right class with a wrong box and a wrong class with the right box make no right guess.
    assert error([[20, 20, 30, 30], box], [3, 2], [1, 1]) == (1, 0, 1)
    assert error([elsewhere] * 5 + [box], [2] * 5 + [3], [1] * 5 + [0.9]) == (1, 1, 0)
    assert error([elsewhere] * 5 + [box], [2] * 5 + [3], [1] * 5 + [1.1]) == (0, 0, 0)
    assert error([elsewhere, box], [2, 3], [1, 1], guesses=1) == (1, 1, 0)
    assert error([], [], []) == (1, 1, 0)


def test_per_class_and_images_that_do_not_count():
    truths = [
        {"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "classes": [0, 1]},
        {"boxes": [[0, 0, 10, 10]], "classes": [1]},
        {"boxes": [], "classes": []},
    ]
    found = {"boxes": [[0, 0, 10, 10]], "classes": [0], "scores": [1]}
    result = localization_error(truths, [found] * 3)
    assert (result["images"], result["error"]) == (2, 0.5)
    assert result["per_class"] == {
        0: {"images": 1, "error": 0.0},
        1: {"images": 2, "error": 1.0},
    }
    np.testing.assert_array_equal(result["wrong"], [False, True])


def test_no_images_and_boxes_without_area():
    assert localization_error([], [])["error"] is None
    point = {"boxes": [[5, 5, 5, 5]], "classes": [0], "scores": [1]}
    assert localization_error([point], [point])["error"] == 1


def test_refuses():
    with pytest.raises(ValueError, match="Received: guesses=0"):
        localization_error([], [], guesses=0)
    with pytest.raises(ValueError, match="Received: iou_threshold=2"):
        localization_error([], [], iou_threshold=2)
