"""`detect` on nets whose outputs are known, step by step, and its arguments."""

import keras
import numpy as np
import pytest

from tfcnns.detection import dense_map, window_boxes
from tfcnns.detection.detect import candidates, detect, scale_maps
from tfcnns.detection.evaluation import measure_detection, measure_localization
from tfcnns.models import overfeat


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return overfeat("digits", 5, head="both", width=0.1)


@pytest.fixture(scope="module")
def image():
    return np.random.RandomState(0).randint(0, 256, (52, 44, 1)).astype(np.uint8)


def test_one_scale_is_the_dense_map_in_pixels(model, image):
    maps = dense_map(model, image)
    found = candidates(model, image, [image.shape[:2]], k=5)
    windows = np.array(window_boxes(model, image.shape))
    corner = windows[..., [0, 1, 0, 1]]
    boxes = np.clip(corner + 32 * np.array(maps["boxes"]), 0, [44, 52, 44, 52])
    scores = np.array(maps["classifier"])
    order = np.argsort(-scores.max((0, 1)), kind="stable")
    np.testing.assert_array_equal(
        found.classes, np.repeat(order, windows.shape[0] * windows.shape[1])
    )
    np.testing.assert_allclose(
        found.scores, np.concatenate([scores[..., c].ravel() for c in order]), rtol=1e-4
    )
    first, last = boxes.reshape(-1, 4)[:, :2], boxes.reshape(-1, 4)[:, 2:]
    expected = np.concatenate([np.minimum(first, last), np.maximum(first, last)], axis=1)
    np.testing.assert_allclose(found.boxes[: len(expected)], expected, atol=2e-3)


def test_scales_follow_each_other_and_the_background_has_no_boxes(model, image):
    alone = [candidates(model, image, [scale], k=2) for scale in (36, 52)]
    both = candidates(model, image, (36, 52), k=2)
    np.testing.assert_allclose(both.boxes, np.concatenate([one.boxes for one in alone]), atol=1e-3)
    without = candidates(model, image, (36,), k=5, background=True)
    assert set(without.classes.numpy()) == {0, 1, 2, 3}
    ((_, _, scores),) = scale_maps(model, image, (36,), background=True)
    assert scores.shape[-1] == 4


def test_windows_below_the_score_vote_for_nothing(model, image):
    every = candidates(model, image, (36,), k=5)
    middle = float(np.median(every.scores))
    some = candidates(model, image, (36,), k=5, window_score=middle)
    np.testing.assert_array_equal(some.scores, every.scores[every.scores >= middle])


@pytest.mark.parametrize("join", ["merge", "suppress", "none"])
def test_what_comes_out_is_sorted_limited_and_inside(model, image, join):
    boxes, classes, scores = map(np.array, detect(model, image, k=3, join=join, max_boxes=7))
    assert boxes.shape == (7, 4) or len(boxes) == len(scores) < 7
    assert len(boxes) == len(classes) == len(scores) > 0
    assert (np.diff(scores) <= 0).all()
    assert (boxes >= 0).all()
    assert (boxes[:, [0, 2]] <= 44).all()
    assert (boxes[:, [1, 3]] <= 52).all()
    least = float(scores[len(scores) // 2])
    _, _, fewer = detect(model, image, k=3, join=join, max_boxes=7, least_score=least)
    np.testing.assert_allclose(fewer, scores[scores >= least], rtol=1e-4)


def test_nothing_found_is_empty(model, image):
    boxes, classes, scores = detect(model, image, window_score=1.5)
    assert (boxes.shape, classes.shape, scores.shape) == ((0, 4), (0,), (0,))


def test_a_box_of_each_class(image):
    keras.utils.set_random_seed(1)
    model = overfeat("digits", 5, head="both", width=0.1, boxes_per_class=True)
    ((_, boxes, scores),) = scale_maps(model, image, [image.shape[:2]], background=True)
    found = candidates(model, image, [image.shape[:2]], k=1, background=True)
    best = np.array(scores).max((0, 1)).argmax()
    expected = np.clip(np.array(boxes)[..., best, :].reshape(-1, 4), 0, [44, 52, 44, 52])
    np.testing.assert_allclose(np.sort(found.boxes, axis=1), np.sort(expected, axis=1), atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 90, 1), (31, 31, 1)])
def test_tiny_images_are_enlarged(model, shape):
    boxes, _, _ = detect(model, np.full(shape, 9, np.uint8))
    assert len(boxes)
    assert (np.array(boxes) <= [shape[1], shape[0], shape[1], shape[0]]).all()


def test_mistakes_are_named(model, image):
    with pytest.raises(ValueError, match="Received: join='nms'"):
        detect(model, image, join="nms")
    with pytest.raises(ValueError, match="a classifier and boxes"):
        detect(overfeat("digits", 5, width=0.1), image)
    with pytest.raises(ValueError, match=r"Received: scales=\[\]"):
        detect(model, image, [])


def test_perfect_detections_measure_as_such():
    truths = [
        {"boxes": np.float32([[2, 3, 20, 30], [40, 40, 60, 70]]), "classes": np.int64([0, 2])},
        {"boxes": np.float32([[5, 5, 15, 25]]), "classes": np.int64([1])},
    ]
    found = [{**truth, "scores": np.ones(len(truth["classes"]))} for truth in truths]
    result, curves = measure_detection(truths, found, 4)
    for name in ("AP", "AP50", "mAP_area"):
        assert result[name] == pytest.approx(1)
    assert curves["precision"].shape == (101, 4)
    assert [row["AP50"] is None for row in result["per_class"]] == [False, False, False, True]
    result = measure_localization(truths, found)
    assert result["error"] == result["top1_error"] == 0
    assert [row["class"] for row in result["per_class"]] == [0, 1, 2]
