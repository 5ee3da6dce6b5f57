"""Class maps: the model that gives them and their picture."""

import keras
import numpy as np
import pytest
from keras import layers
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from tfcnns.plots import ORANGE, VERMILLION
from tfcnns.plots.class_maps import class_maps_model, plot_class_maps


def nin(classes=5):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Conv2D(classes, 1, name="maps"),
            layers.GlobalAveragePooling2D(),
            layers.Softmax(),
        ]
    )


@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_average_of_the_maps_is_the_score(form):
    model = nin()
    if form == "functional":
        model = keras.Model(model.inputs, model.outputs)
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
    maps = class_maps_model(model).predict(images, verbose=0)
    assert maps.shape == (3, 6, 6, 5)
    scores = np.exp(maps.mean(axis=(1, 2)))
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(scores / scores.sum(1, keepdims=True), expected, rtol=1e-5)


def test_the_last_pooling_counts():
    inputs = keras.Input((8, 8, 5))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    last = layers.Conv2D(5, 1, name="last")(inputs * gate)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(last))
    images = np.random.default_rng(0).random((2, 8, 8, 5)).astype("float32")
    maps = class_maps_model(model).predict(images, verbose=0)
    np.testing.assert_allclose(maps.mean((1, 2)), model.predict(images, verbose=0), rtol=1e-4)


def test_channels_first_maps_are_turned():
    inputs = keras.Input((5, 4, 6))
    pool = layers.GlobalAveragePooling2D(data_format="channels_first")
    model = keras.Model(inputs, pool(inputs))
    images = np.arange(120, dtype="float32").reshape(1, 5, 4, 6)
    maps = class_maps_model(model).predict(images, verbose=0)
    np.testing.assert_array_equal(maps, images.transpose(0, 2, 3, 1))


def test_models_without_class_maps():
    inputs = keras.Input((8, 8, 1))
    flat = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(inputs)))
    assert class_maps_model(flat) is None
    features = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3)(inputs))
    assert class_maps_model(keras.Model(inputs, layers.Dense(5)(features))) is None


def sample(count, classes, size=4):
    """Class i's map alone is bright in picture i; the model says so, but for picture 1."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    maps = rng.uniform(0, 0.5, (count, size, size, classes))
    maps[np.arange(count), 1, 2, labels] = 5
    said = np.where(np.arange(count) == 1, 0, labels)
    probabilities = 0.9 * np.eye(classes)[said] + 0.1 / classes
    return rng.random((count, 8, 8, 3)), maps, labels, probabilities, list(map(str, range(classes)))


def frames(axes):
    """Index of axes -> colour of their frame."""
    return {
        i: patch.get_edgecolor()
        for i, one in enumerate(axes)
        for patch in one.patches
        if isinstance(patch, Rectangle)
    }


def test_rows_of_a_picture_and_its_maps():
    images, maps, labels, *rest = sample(9, 5)
    figure = plot_class_maps(images, maps, labels, *rest, count=3)
    figure.canvas.draw()
    assert len(figure.axes) == 3 * (1 + 5) + 1
    for row in range(3):
        picture, *heat = figure.axes[6 * row : 6 * row + 6]
        np.testing.assert_allclose(picture.images[0].get_array(), images[row], rtol=1e-6)
        for c, axes in enumerate(heat):
            np.testing.assert_allclose(axes.images[0].get_array(), maps[row, ..., c], rtol=1e-6)
            np.testing.assert_allclose(axes.images[0].get_clim(), (maps[row].min(), 5))
    assert "In 3 of 3 rows" in figure.get_label()
    assert [axes.get_title() for axes in figure.axes[1:6]] == ["0", "1", "2", "3", "4"]


def test_frames_and_texts():
    figure = plot_class_maps(*sample(2, 5))
    right, wrong = figure.axes[:6], figure.axes[6:12]
    assert frames(right) == {1: to_rgba(ORANGE)}
    assert frames(wrong) == {1: to_rgba(VERMILLION), 2: to_rgba(ORANGE)}
    assert right[0].texts[0].get_text() == "true 0\nsaid 0\n92 %"
    assert wrong[0].texts[0].get_text() == "true 1\nsaid 0\n92 %"
    assert "dashed" in figure.get_suptitle()


def test_white_lines_surround_the_strongest_tenth():
    images, maps, *rest = sample(1, 5)
    figure = plot_class_maps(images, maps, *rest)
    (lines,) = figure.axes[1].collections
    assert lines.levels == pytest.approx([np.quantile(maps[0], 0.9)])


def test_many_classes_show_the_true_one_and_the_likeliest():
    images, maps, labels, probabilities, names = sample(2, 100)
    probabilities[0, [70, 71, 72, 73, 74, 75]] += [0.06, 0.05, 0.04, 0.03, 0.02, 0.01]
    figure = plot_class_maps(images, maps, labels, probabilities, names)
    figure.canvas.draw()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[1:7] == ["0", "70", "71", "72", "73", "74"]
    assert titles[8:10] == ["1", "0"]
    np.testing.assert_allclose(figure.axes[2].images[0].get_array(), maps[0, ..., 70], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_maps_without_any_contrast(value):
    images, maps, *rest = sample(2, 5)
    plot_class_maps(images, np.full_like(maps, value), *rest).canvas.draw()


def test_maps_of_one_pixel_and_some_nan():
    plot_class_maps(*sample(2, 5, size=3)).canvas.draw()
    images, maps, *rest = sample(2, 5)
    plot_class_maps(images, maps[:, 1:2, 2:3], *rest).canvas.draw()
    maps[0, 0, 0, 0] = np.nan
    plot_class_maps(images, maps, *rest).canvas.draw()


def test_names_stay_on_the_page():
    *arrays, _ = sample(2, 10)
    figure = plot_class_maps(*arrays, ["a rather long name"] * 10)
    figure.canvas.draw()
    assert all(one.get_window_extent().x0 >= 0 for axes in figure.axes for one in axes.texts)


def test_shapes_must_agree():
    images, maps, labels, probabilities, names = sample(2, 5)
    with pytest.raises(ValueError, match=r"\(N, h, w, 4\).*Received: maps\.shape=\(2, 4, 4, 5\)"):
        plot_class_maps(images, maps, labels, probabilities, names[:4])
    with pytest.raises(ValueError, match=r"Received: labels\.shape=\(1,\)"):
        plot_class_maps(images, maps, labels[:1], probabilities, names)
