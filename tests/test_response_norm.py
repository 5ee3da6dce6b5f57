"""SameMapNorm against the loop over windows, and its limits."""

import keras
import numpy as np
import pytest
import references_preprocessing as references
import tensorflow as tf

from tfcnns.layers.response_norm import SameMapNorm


def maps(*shape):
    return 20 * np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(2, 7, 6, 3), (1, 2, 3, 1)])
def test_equals_the_loop(size, shape):
    x = maps(*shape)
    layer = SameMapNorm(size)
    expected = references.same_map_norm(x, size, 1e-3, 0.75, 1.0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("scale", "power", "bias"), [(0.5, 0.5, 2.0), (0.1, 1, 0.3), (2.0, 0.6, 1)]
)
def test_constants(scale, power, bias):
    x = maps(1, 6, 6, 2)
    y = SameMapNorm(3, scale, power, bias)(x)
    expected = references.same_map_norm(x, 3, scale, power, bias)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_a_constant_map_by_hand():
    y = np.array(SameMapNorm()(np.full((1, 7, 7, 1), 30.0, "float32")))[0, :, :, 0]
    np.testing.assert_allclose(y[2:-2, 2:-2], 30 / 1.9**0.75, rtol=1e-6)  # 0.001 * 900
    np.testing.assert_allclose(y[0, 0], 30 / (1 + 0.9 * 9 / 25) ** 0.75, rtol=1e-6)


def test_maps_and_images_do_not_meet():
    x = maps(2, 6, 6, 3)
    y = SameMapNorm(scale=1.0)(x)
    alone = SameMapNorm(scale=1.0)(x[1:, :, :, 2:])
    np.testing.assert_allclose(y[1:, :, :, 2:], alone, rtol=1e-6)


def test_scale_0_is_a_division():
    x = maps(1, 5, 5, 2)
    np.testing.assert_allclose(SameMapNorm(scale=0, bias=2.0)(x), x / 2**0.75, rtol=1e-6)


def test_gradient_against_differences():
    x = maps(1, 5, 4, 2).astype("float64")
    layer = SameMapNorm(3, scale=0.05, dtype="float64")
    weight = np.random.default_rng(1).normal(size=x.shape)

    def loss(value):
        return float(tf.reduce_sum(layer(value) * weight))

    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        y = tf.reduce_sum(layer(variable) * weight)
    gradient = np.array(tape.gradient(y, variable))
    for index in [(0, 0, 0, 0), (0, 2, 1, 1), (0, 4, 3, 0)]:
        step = np.zeros(x.shape)
        step[index] = 1e-4
        difference = (loss(x + step) - loss(x - step)) / 2e-4
        np.testing.assert_allclose(gradient[index], difference, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_sums_of_large_halves(dtype):
    x = np.full((1, 6, 6, 2), 60000.0, "float32")  # squares are far beyond float16
    y = keras.ops.cast(SameMapNorm(dtype=dtype)(x), "float32")
    np.testing.assert_allclose(y, SameMapNorm()(x), rtol=0.01)


def test_channels_first_is_the_same_transposed():
    x = maps(2, 5, 6, 3)
    y = SameMapNorm(data_format="channels_first")(np.moveaxis(x, -1, 1))
    np.testing.assert_allclose(np.moveaxis(y, 1, -1), SameMapNorm()(x), rtol=1e-6)


def test_sizes_that_are_not_known_ahead():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, SameMapNorm()(inputs))
    traced = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 2))])
    for shape in [(1, 3, 8, 2), (0, 5, 6, 2)]:
        x = maps(*shape)
        expected = references.same_map_norm(x, 5, 1e-3, 0.75, 1.0)
        np.testing.assert_allclose(traced(x), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "Received: size=0"),
        ({"size": 2.5}, "Received: size=2.5"),
        ({"scale": -1}, "Received: scale=-1"),
        ({"bias": float("inf")}, "Received: bias=inf"),
        ({"power": float("nan")}, "Received: power=nan"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        SameMapNorm(**arguments)
