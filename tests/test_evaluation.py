"""Errors of a classifier, against counting by hand."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns import evaluate
from tfcnns.errors import UserError
from tfcnns.training import evaluation
from tfcnns.training.top_k import place, ranking, top5_accuracy


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


def test_of_equal_scores_the_lower_number_comes_first_and_nan_is_never_right():
    random = np.random.RandomState(0)
    scores = random.randint(0, 4, (40, 8)).astype("float32")  # ties in every row
    labels = random.randint(0, 8, 40)
    expected = [list(order).index(c) for order, c in zip(ranking(scores), labels, strict=True)]
    assert np.array(place(labels, scores)).tolist() == expected
    by_hand = [
        sorted(range(8), key=lambda c, row=row: (-row[c], c)).index(label)
        for row, label in zip(scores, labels, strict=True)
    ]
    assert expected == by_hand
    assert np.array(top5_accuracy(labels[:, None], scores)).tolist() == [p < 5 for p in expected]
    scores[:, 7] = np.nan
    assert np.array(place(labels, scores)).tolist() == [8] * 40
    assert not np.array(top5_accuracy(labels, scores)).any()


def test_a_dead_net_is_right_as_often_as_by_chance():
    result = evaluation.measure(np.arange(20) % 10, np.full((20, 10), 0.1, "float32"))
    assert (result["error"], result["top5_error"]) == (0.9, 0.5)
    assert result["constant"] is True
    assert "says the same of every image" in "".join(evaluation.warnings(result))


def test_a_diverged_net_is_always_wrong():
    scores = np.eye(8, dtype="float32")
    scores[[0, 3], 5] = np.nan  # two rows say nothing
    result = evaluation.measure(np.arange(8), scores)
    assert (result["errors"], result["top5_error"], result["nan"]) == (2, 0.25, 2)
    assert result["per_class_error"] == [1, 0, 0, 1, 0, 0, 0, 0]
    assert np.trace(result["confusion"]) == np.sum(result["confusion"]) == 6
    assert result["loss"] is None
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    text = evaluate.summary({**result, "split": "test"}, "abcdefgh")
    assert "error 25.00 % (2 of 8), loss NaN" in text
    assert "NaN for 2 of 8 images" in text


def test_images_without_a_label_do_not_count():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    result = evaluation.measure(np.array([0, -1, 0]), scores)
    assert (result["examples"], result["errors"], result["unlabelled"]) == (2, 1, 1)
    assert result["confusion"] == [[1, 1], [0, 0]]
    with pytest.raises(UserError, match="no image has a label"):
        evaluation.measure(np.array([-1, -1, -1]), scores)


def test_a_dataset_without_its_unlabelled_images():
    images = np.arange(6, dtype="float32")[:, None]
    labels = np.array([[0], [-1], [-1], [-1], [2], [-1]])
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(2)
    kept = list(evaluation.labelled(dataset).as_numpy_iterator())
    assert [(x.tolist(), y.tolist()) for x, y in kept] == [([[0]], [[0]]), ([[4]], [[2]])]
    one_hot = dataset.map(lambda x, y: (x, tf.one_hot(y[:, 0], 3)))
    assert sum(len(x) for x, _ in evaluation.labelled(one_hot)) == 6


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [[3.0, -2.0, 1.0], [0.0, 1.0, 0.0]], "from -2 to 3, sums 1 to 2$"),  # logits
        ([0, 1], [[0.9, 0.8, 0.1], [0.1, 0.9, 0.1]], "sums 1.1 to 1.8$"),  # sigmoids
        ([0, 1], [[0.9], [0.1]], "1 outputs from 0.1 to 0.9"),
        ([0, 3], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], "labels from 0 to 2.* Received: 3$"),
        ([0, -2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], "Received: -2$"),
    ],
)
def test_what_are_no_probabilities_or_labels_is_refused(labels, scores, message):
    with pytest.raises(UserError, match=message):
        evaluation.measure(np.array(labels), np.array(scores, "float32"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_probabilities_of_half_precision_are_probabilities(dtype):
    scores = np.random.RandomState(0).normal(size=(50, 1000)).astype("float32")
    half = keras.ops.softmax(keras.ops.cast(scores, dtype))
    evaluation.check_probabilities(np.array(keras.ops.cast(half, "float32")))


def test_labels_that_are_no_numbers_of_classes_and_several_outputs_are_refused():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Softmax()(inputs))
    data = [(np.eye(3, dtype="float32"), np.array([0.5, 1, 2]))]
    with pytest.raises(UserError, match="numbers of classes"):
        evaluation.predict(model, data)
    two = keras.Model(inputs, {"a": inputs * 1, "b": inputs * 2}, name="two")
    with pytest.raises(UserError, match="model two has several outputs"):
        evaluation.predict(two, data)


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
