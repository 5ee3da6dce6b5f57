"""Windows, strides and fields of OverFeats: the paper's numbers, and what outputs respond to."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfcnns.detection import Geometry, geometry
from tfcnns.layers import BoxRegressor
from tfcnns.models import overfeat

WIDTHS = {"fast": 0.02, "accurate": 0.02, "digits": 0.2}

# window, stride, pool, head, receptive field, channels, last pool; step, context, smallest
TABLE = {
    ("fast", "same"): ((231, 32, 2, 6, 327, 3, "pool5"), (16, 48, 247)),
    ("fast", "valid"): ((327, 32, 2, 6, 327, 3, "pool5"), (16, 0, 343)),
    ("accurate", "same"): ((221, 36, 3, 5, 317, 3, "pool6"), (12, 48, 245)),
    ("accurate", "valid"): ((317, 36, 3, 5, 317, 3, "pool6"), (12, 0, 341)),
    ("digits", "same"): ((32, 8, 2, 3, 48, 1, "pool4"), (4, 8, 36)),
    ("digits", "valid"): ((48, 8, 2, 3, 48, 1, "pool4"), (4, 0, 52)),
}
ACCURATE, DIGITS = (Geometry(*TABLE[name, "same"][0]) for name in ("accurate", "digits"))


@pytest.mark.parametrize("head", ["classifier", "regressor", "both"])
@pytest.mark.parametrize(("variant", "padding"), TABLE)
def test_the_papers_nets(variant, padding, head):
    numbers, derived = TABLE[variant, padding]
    found = geometry(overfeat(variant, head=head, padding=padding, width=WIDTHS[variant]))
    assert dataclasses.astuple(found) == numbers
    assert (found.step, found.context, found.smallest) == derived
    assert found.offsets == tuple(range(found.pool))


def test_needs_nothing_but_the_layers(tmp_path):
    scale = layers.Rescaling(1 / 255, name="scale")
    model = overfeat("digits", head="both", preprocessing=[scale], input_shape=(40, 56, 1))
    path = tmp_path / "model.keras"
    model.save(path)
    assert geometry(keras.saving.load_model(path)) == DIGITS
    assert geometry(keras.models.clone_model(model)) == DIGITS
    # Other calls of the layers, such as a model of the user's own makes, change nothing.
    keras.Model(model.get_layer("pool4").output, model.output["boxes"])
    model.get_layer("fc5")(np.zeros((1, 3, 3, 96)))
    assert geometry(model) == DIGITS


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_outputs_respond_to_their_fields_alone(padding):
    model = overfeat("digits", padding=padding, width=0.2, classifier_activation=None)
    g = geometry(model)
    around = g.context
    image = np.random.default_rng(0).normal(size=(1, 88, 88, 1)).astype("float32")
    before = np.asarray(model(image))[0]
    i = j = 2
    first, last = i * g.stride - around, i * g.stride + g.window + around - 1
    assert last - first + 1 == g.receptive_field
    for row, inside in [(first - 1, False), (first, True), (last, True), (last + 1, False)]:
        for axis in (1, 2):
            other = image.copy()
            np.moveaxis(other, axis, 0)[row] += 1000 * np.sign(np.moveaxis(other, axis, 0)[row])
            changed = np.any(np.asarray(model(other))[0, i, j] != before[i, j])
            assert changed == inside, (row, axis)


def test_a_net_of_another_form():
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(3, 3, dilation_rate=2)(image)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Conv2D(3, 3, padding="same")(x)
    x = layers.MaxPooling2D(4, name="last")(layers.ReLU()(x))
    x = layers.Conv2D(4, 2)(layers.Conv2D(4, 3)(x))
    found = geometry(keras.Model(image, layers.Softmax()(x)))
    # 4 pooled cells of 4 cells of 2 pixels, and 4 pixels more for the dilated kernel
    assert found == Geometry(36, 8, 4, 4, 40, 2, "last")
    assert (found.step, found.context, found.smallest) == (2, 2, 42)


@pytest.mark.parametrize(
    ("size", "fitted", "spacing", "shape"),
    [
        ((245, 245), (245, 245), 12, (3, 3)),
        ((280, 281), (280, 281), 12, (3, 6)),
        ((244, 900), (244, 900), 36, (1, 19)),
        ((221, 257), (221, 257), 36, (1, 2)),
        ((220, 300), (221, 301), 36, (1, 3)),
        ((150, 100), (332, 221), 36, (4, 1)),
        ((1, 1), (221, 221), 36, (1, 1)),
        ((1, 10_000), (221, 8 * 221), 36, (1, 43)),
        ((100, 7), (8 * 221, 221), 36, (43, 1)),
        ((3000, 4000), (3000, 4000), 12, (231, 315)),
    ],
)
def test_sizes_and_maps(size, fitted, spacing, shape):
    g = ACCURATE
    assert g.fitted_shape(*size) == fitted
    assert g.spacing(*fitted) == spacing
    assert g.map_shape(*fitted) == shape

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32)] * 2)
    def in_a_graph(height, width):
        fitted = g.fitted_shape(height, width)
        return fitted, g.spacing(*fitted), g.map_shape(*fitted)

    for values, expected in zip(in_a_graph(*size), (fitted, spacing, shape), strict=True):
        np.testing.assert_array_equal(values, expected)


def test_only_whole_windows_count():
    for height in range(DIGITS.smallest, 80):
        rows, _ = DIGITS.map_shape(height, 52)
        last = (rows - 1) * DIGITS.step + DIGITS.window
        assert last <= height < last + DIGITS.stride
        assert rows % DIGITS.pool == 0


def chain(*more, **kwargs):
    image = keras.Input((None, None, 1), **kwargs)
    x = image
    for layer in more:
        x = layer(x)
    return keras.Model(image, x)


class Subclassed(keras.Model):
    def call(self, x):
        return x


def two_images():
    first, second = keras.Input((None, None, 1)), keras.Input((None, None, 1))
    return keras.Model([first, second], layers.MaxPooling2D(2)(layers.Add()([first, second])))


def a_branch():
    image = keras.Input((None, None, 1))
    x = layers.Add()([layers.ReLU()(image), image])
    return keras.Model(image, layers.MaxPooling2D(2)(x))


def two_pools():
    image = keras.Input((None, None, 1))
    outputs = {name: layers.MaxPooling2D(2, name=name)(image) for name in ("a", "b")}
    return keras.Model(image, outputs)


def unequal_heads():
    image = keras.Input((None, None, 1))
    x = layers.MaxPooling2D(2)(image)
    return keras.Model(image, {"classifier": layers.Conv2D(2, 3)(x), "boxes": BoxRegressor()(x)})


POOL = layers.MaxPooling2D


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Subclassed, "functional keras.Model"),
        (two_images, "functional keras.Model"),
        (a_branch, "one input and one output each"),
        (two_pools, "same last MaxPooling2D"),
        (lambda: chain(layers.Conv2D(2, 3)), "same last MaxPooling2D"),
        (unequal_heads, r"patches of one size. Received: \{'classifier': 3, 'boxes': 5\}"),
        (lambda: chain(POOL(2, 1, name="p")), "its size as its stride.*Received: p"),
        (lambda: chain(POOL(2, padding="same", name="p")), "Received: p of size 2"),
        (lambda: chain(POOL(2, 2), layers.Conv2D(2, 3, 2, name="c")), "after the last.*: c"),
        (lambda: chain(POOL(2), layers.Conv2D(2, 3, padding="same", name="c")), "after .*: c"),
        (lambda: chain(layers.Conv2D(2, 3, 2, "same", name="c"), POOL(2)), "stride 1.*: c"),
        (lambda: chain(layers.Conv2D(2, 2, padding="same", name="c"), POOL(2)), "odd kernel.*: c"),
        (lambda: chain(layers.Conv2D(2, (3, 5), name="c"), POOL(2)), "square.*: c"),
        (lambda: chain(layers.ZeroPadding2D(name="z"), POOL(2)), "keeps the map's size.*: z"),
        (lambda: chain(layers.DepthwiseConv2D(3, name="d"), POOL(2)), "Received: d, a Depthwise"),
        (lambda: chain(overfeat("digits", width=0.1)), "no models inside the model"),
    ],
)
def test_other_models_are_refused(make, message):
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        geometry(make())
