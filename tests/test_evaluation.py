"""Errors of a classifier, against counting by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.training import evaluation


def test_by_hand():
    labels = np.array([0, 1, 2, 2])
    scores = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]])
    result = evaluation.measure(labels, scores)
    assert result == {
        "examples": 4,
        "errors": 2,
        "error": 0.5,
        "loss": pytest.approx(-np.log([0.5, 0.3, 0.8, 0.1]).mean()),
        "per_class_error": [0.0, 1.0, 0.5],
        "confusion": [[1, 0, 0], [1, 0, 0], [0, 1, 1]],
    }


def test_top5_counts_classes_that_score_higher():
    scores = np.tile(np.array([0.3, 0.25, 0.2, 0.1, 0.08, 0.07], "float32"), (6, 1))
    result = evaluation.measure(np.arange(6), scores)
    assert result["top5_error"] == pytest.approx(1 / 6)  # only the sixth class is outside
    assert result["error"] == pytest.approx(5 / 6)


def test_a_class_without_examples_and_a_score_of_zero():
    result = evaluation.measure(np.array([0]), np.array([[0.0, 1.0]]))
    assert result["per_class_error"] == [1.0, None]
    assert np.isfinite(result["loss"])


@pytest.mark.parametrize("one_hot", [False, True])
def test_predictions_keep_the_order_and_the_last_smaller_batch(one_hot):
    x = np.random.RandomState(0).rand(7, 3).astype("float32")
    y = np.array([0, 1, 2, 0, 1, 2, 0])
    truth = np.eye(3)[y] if one_hot else y
    model = keras.Sequential([keras.Input((3,)), keras.layers.Softmax()])
    dataset = tf.data.Dataset.from_tensor_slices((x, truth)).batch(3)
    labels, scores = evaluation.predict(model, dataset)
    assert labels.tolist() == y.tolist()
    np.testing.assert_allclose(scores, model(x), rtol=1e-6)


def test_views_and_positions_are_averaged():
    views = np.random.RandomState(0).rand(5, 10, 2, 2, 3).astype("float32")
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Softmax()])  # (N, 2, 2, 3)
    dataset = tf.data.Dataset.from_tensor_slices((views, np.zeros((5, 1, 1), int))).batch(2)
    labels, scores = evaluation.predict(model, dataset)
    e = np.exp(views)
    np.testing.assert_allclose(scores, (e / e.sum(-1, keepdims=True)).mean((1, 2, 3)), rtol=1e-5)
    assert labels.tolist() == [0] * 5
