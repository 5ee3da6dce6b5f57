"""suppress_boxes against the plain loop, against keras_cv, and inside a graph."""

import numpy as np
import pytest
import references_detection as references
import tensorflow as tf

from tfcnns.detection.suppress import suppress_boxes


def random_boxes(n, seed=0):
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(0, 200, (n, 2)), rng.uniform(20, 120, (n, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return boxes.astype("float32"), np.round(rng.uniform(size=n), 2).astype("float32")


@pytest.mark.parametrize("threshold", [0, 0.3, 0.5, 1])
def test_equals_the_loop(threshold):
    boxes, scores = random_boxes(150, seed=1)
    kept = references.suppress(boxes.astype("float64"), scores, threshold)
    found, best = suppress_boxes(boxes, scores, threshold)
    np.testing.assert_array_equal(found, boxes[kept])
    np.testing.assert_array_equal(best, scores[kept])


@pytest.mark.slow
def test_equals_keras_cv():
    keras_cv = pytest.importorskip("keras_cv")
    boxes, scores = random_boxes(150, seed=2)
    layer = keras_cv.layers.NonMaxSuppression(
        "xyxy", from_logits=False, iou_threshold=0.5, confidence_threshold=-1.0, max_detections=150
    )
    theirs = layer(boxes[None], scores[None, :, None])
    found, best = suppress_boxes(boxes, scores, 0.5)
    count = int(theirs["num_detections"][0])
    np.testing.assert_array_equal(found, theirs["boxes"][0, :count])
    np.testing.assert_array_equal(best, theirs["confidence"][0, :count])


def test_each_class_is_a_call_of_its_own():
    boxes, scores = random_boxes(100)
    classes = np.random.default_rng(1).choice([7, 2], 100)
    found, best, kinds = suppress_boxes(boxes, scores, 0.4, classes)
    assert np.all(np.diff(best) <= 0)
    for c in (7, 2):
        alone, _ = suppress_boxes(boxes[classes == c], scores[classes == c], 0.4)
        np.testing.assert_array_equal(found[kinds == c], alone)


def test_scores_of_every_class_and_a_limit():
    boxes, best = random_boxes(80)
    scores = np.stack([best / 2, best, best / 3], axis=1)
    found, rows = suppress_boxes(boxes, scores, max_boxes=4)
    expected, top = suppress_boxes(boxes, best)
    np.testing.assert_array_equal(found, expected[:4])
    np.testing.assert_array_equal(rows[:, 1], top[:4])


def test_inside_a_graph_and_without_boxes():
    @tf.function(input_signature=[tf.TensorSpec((None, 4)), tf.TensorSpec((None,))])
    def traced(boxes, scores):
        return suppress_boxes(boxes, scores, 0.5, tf.zeros(tf.shape(scores), tf.int32))

    for n in (60, 1, 0):
        boxes, scores = random_boxes(n)
        for here, there in zip(suppress_boxes(boxes, scores), traced(boxes, scores), strict=False):
            np.testing.assert_array_equal(here, there)
    found, _ = suppress_boxes(np.zeros((0, 4)), np.zeros(0))
    assert (found.shape, found.dtype) == ((0, 4), tf.float64)


def test_refuses():
    with pytest.raises(ValueError, match=r"0..1. Received: iou_threshold=1.5"):
        suppress_boxes([[0, 0, 1, 1]], [1], 1.5)
    with pytest.raises(ValueError, match="Received: 1 boxes, 2 scores"):
        suppress_boxes([[0, 0, 1, 1]], [1, 2])
