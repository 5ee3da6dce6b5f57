"""Nearest images: the distances of the features, and who is drawn beside whom."""

import keras
import numpy as np
import pytest

from tfcnns import models
from tfcnns.plots.nearest import hidden_model, nearest, plot_nearest

NAMES = ["ant", "bee"]


def test_features_are_the_input_of_the_last_weights():
    model = models.alexnet((67, 67, 3), classes=4, width=1 / 16)
    hidden = hidden_model(model)
    x = np.random.default_rng(0).random((2, 67, 67, 3)).astype("float32")
    features = hidden.predict_on_batch(x)
    assert features.shape == (2, 256)
    fc7 = keras.Model(model.inputs, model.get_layer("fc7").output)
    np.testing.assert_allclose(features, fc7.predict_on_batch(x), rtol=1e-6)
    maps = models.nin_mnist(width=0.05)
    assert hidden_model(maps).output_shape == (None, 7 * 7 * 2)
    one = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert hidden_model(one) is None
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    nested = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), inner])
    assert hidden_model(nested) is None


def test_nearest_of_points_on_a_line():
    rows, distances = nearest([[0, 0], [3, 4], [0, 1], [30, 40]], [0, 3], count=2)
    np.testing.assert_array_equal(rows, [[2, 1], [1, 2]])
    np.testing.assert_allclose(distances, [[1, 5], [45, np.hypot(30, 39)]])
    rows, _ = nearest([[0.0], [1.0]], [1])
    np.testing.assert_array_equal(rows, [[0]])  # fewer than asked for


def drawn(names=NAMES):
    images = np.arange(2)[:, None, None] / 10 * np.ones((2, 4, 4))
    others = np.arange(4, 10).reshape(2, 3, 1, 1) / 10 * np.ones((2, 3, 4, 4))
    distances = [[1, 2, 3.5], [0.000123456, 5, 6]]
    return plot_nearest(images, others, distances, [0, 1], [[0, 1, 0], [1, 1, 1]], names)


def test_each_picture_stands_at_its_place():
    figure = drawn()
    figure.canvas.draw()
    levels = [axes.images[0].get_array()[0, 0] for axes in figure.axes]
    np.testing.assert_allclose(levels, [0, 0.4, 0.5, 0.6, 0.1, 0.7, 0.8, 0.9])
    texts = [axes.texts[0].get_text() for axes in figure.axes]
    assert texts[:4] == ["ant", "ant\n1", "bee\n2", "ant\n3.5"]
    assert texts[5] == "bee\n0.000123"
    framed = [axes.spines["left"].get_visible() and axes.axison for axes in figure.axes]
    assert framed == [False, False, True, False, False, False, False, False]
    assert "83 % of those are of the same class" in figure.get_label()  # 5 of 6


def test_captions_do_not_touch():
    figure = drawn(["a long-named animal", "another long-named animal"])
    figure.canvas.draw()
    boxes = [axes.texts[0].get_window_extent() for axes in figure.axes]
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert min(box.y0 for box in boxes) >= 0


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"Received: \(2, 4, 4\), \(2, 3, 4, 4\) and \(2, 2\)"):
        plot_nearest(
            np.zeros((2, 4, 4)), np.zeros((2, 3, 4, 4)), [], [0, 0], np.zeros((2, 2)), NAMES
        )
