"""`detect` on nets whose outputs are known, step by step, and its arguments."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.detection import dense_map, suppress, window_boxes
from tfcnns.detection.detect import JOINS, candidates, detect, scale_maps
from tfcnns.detection.evaluation import detect_all, measure_detection, measure_localization
from tfcnns.models import overfeat
from tfcnns.pipelines.box_source import from_scenes
from tfcnns.recipes import overfeat_digits


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


@pytest.mark.parametrize("join", JOINS)
def test_the_best_boxes_of_each_class(model, image, join):
    every = [x.numpy() for x in detect(model, image, join=join, max_boxes=None)]
    assert set(every[1]) == set(range(5))
    assert (np.bincount(every[1]) > 2).all()
    for count, most in ((1, 100), (2, None), (1, 3)):
        kept, seen = [], np.zeros(5, int)
        for i, c in enumerate(every[1]):  # best first
            seen[c] += 1
            if seen[c] <= count:
                kept.append(i)
        found = detect(model, image, join=join, max_boxes=most, per_class=count)
        for part, whole in zip(found, every, strict=True):
            np.testing.assert_array_equal(part, whole[kept[:most]])


@pytest.mark.parametrize("most", [0, np.int64(3), None])
def test_how_many_boxes(model, image, most):
    every = detect(model, image, join="none", max_boxes=10**6)[2].numpy()
    found = detect(model, image, join="none", max_boxes=most)[2].numpy()
    np.testing.assert_array_equal(found, every[:most])
    assert len(every) > 3


@pytest.mark.parametrize(
    ("join", "value"), list(zip(JOINS, (np.nan, np.inf, -np.inf), strict=True))
)
def test_what_is_not_finite_gives_no_box_and_a_line(image, join, value, caplog):
    """Of a net with a box for each class: one class' box, then one class' score, then all."""
    keras.utils.set_random_seed(1)
    model = overfeat("digits", 5, head="both", width=0.1, boxes_per_class=True,
                     classifier_activation=None)  # fmt: skip
    arguments = {"join": join, "window_score": -1e9, "least_score": -1e9, "max_boxes": None, "k": 4}
    before = [x.numpy() for x in detect(model, image, [36], **arguments)]

    def broken(layer, places):
        *rest, bias = model.get_layer(layer).get_weights()
        kept, bias = bias, bias.copy()
        bias[places] = value
        model.get_layer(layer).set_weights([*rest, bias])
        found = [x.numpy() for x in detect(model, image, [36], **arguments)]
        model.get_layer(layer).set_weights([*rest, kept])
        return found

    gone = before[1][0]  # of the most certain class
    for layer, places in (("regressor", gone * 4 + 2), ("fc7", gone)):
        boxes, classes, scores = broken(layer, places)
        assert set(classes) == set(range(5)) - {gone}  # the other four, none lost its place
        both = np.intersect1d(classes, before[1])
        for c in both:
            np.testing.assert_allclose(boxes[classes == c], before[0][before[1] == c], rtol=1e-5)
            np.testing.assert_allclose(scores[classes == c], before[2][before[1] == c], rtol=1e-5)
        assert len(both) == 3
    for layer in ("regressor", "fc7"):
        assert [len(part) for part in broken(layer, slice(None))] == [0, 0, 0]
        assert caplog.messages == [
            "model overfeat_digits gives NaN or infinity in 8 of 8 windows of an image; no box "
            "comes of that (said once)"
        ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_what_is_not_finite_gives_no_box_in_a_graph(image):
    keras.utils.set_random_seed(0)
    model = overfeat("digits", 5, head="both", width=0.1)
    model.get_layer("regressor").set_weights(
        [w * np.float32(np.nan) for w in model.get_layer("regressor").get_weights()]
    )
    found = tf.function(lambda x: detect(model, x, [36], max_boxes=7))(tf.constant(image))
    assert [len(part) for part in found] == [0, 0, 0]


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
    for name, value, said in (
        ("max_boxes", -1, "0 or more, or None for no limit"),
        ("max_boxes", 2.5, "0 or more"),
        ("max_boxes", True, "0 or more"),
        ("per_class", 0, "1 or more, or None"),
        ("k", 0, "1 or more"),
        ("k", None, "1 or more"),
        ("least_score", np.nan, "must be a number"),
        ("window_score", np.nan, "must be a number"),
    ):
        with pytest.raises(ValueError, match=rf"`{name}` .*{said}.*\. Received: {name}={value}"):
            detect(model, image, **{name: value})
    with pytest.raises(ValueError, match=r"`max_boxes` .*\. Received: max_boxes=-1"):
        suppress.suppress_boxes([[0.0, 0, 1, 1]], [0.5], max_boxes=-1)


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


def test_five_guesses_are_five_classes():
    """Many boxes of one class leave room for the others, each with its best box."""
    box, other = [0.0, 0, 10, 10], [5.0, 5, 15, 15]
    truths = [{"boxes": [box], "classes": [c]} for c in range(7)]
    found = {  # of every image; class 6 is the sixth, class 5's best box is elsewhere
        "boxes": [box, *[other] * 9, box, box, box, other, box, box],
        "classes": [0, *[0] * 9, 1, 2, 3, 5, 5, 6],
        "scores": [30, *range(29, 20, -1), 9, 8, 7, 6, 5.5, 5],
    }
    result = measure_localization(truths, [found] * 7)
    # Right: 0, 1, 2, 3. Class 4 isn't guessed, 5 has a wrong box, 6 comes too late.
    assert result["error"] == pytest.approx(3 / 7)
    assert result["class_error"] == pytest.approx(2 / 7)
    assert result["top1_error"] == pytest.approx(6 / 7)
    assert [row["error"] for row in result["per_class"]] == [0, 0, 0, 0, 1, 1, 1]


def test_a_localisers_guesses_are_five_classes(image):
    """A net that gives class 0 a little more than the others everywhere."""
    model = overfeat("digits", 6, head="both", width=0.1)
    for layer in model.layers:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    scores = np.float32([0.3, 0.2, 0.1, 0, -0.1, -0.2])
    model.get_layer("fc7").set_weights([model.get_layer("fc7").get_weights()[0], scores])
    weights = model.get_layer("regressor").get_weights()
    model.get_layer("regressor").set_weights([*weights[:-1], np.float32([0.25, 0.25, 0.75, 0.75])])
    config = {**overfeat_digits.config(), "stage": "regressor", "window_score": 0.0, "match": 0.1}
    arguments = overfeat_digits.detector(config)
    source = from_scenes([image] * 6, [[(8, 8, 24, 24)]] * 6, [[c] for c in range(6)], "abcdef")
    truths, found = detect_all(model, source, {**arguments, "scales": [(52, 44)]})
    assert [one["classes"].tolist() for one in found] == [[0, 1, 2, 3, 4, 5]] * 6
    result = measure_localization(truths, found)
    assert (result["error"], result["class_error"]) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
    assert result["top1_error"] == pytest.approx(5 / 6)
