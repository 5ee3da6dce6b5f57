"""wide_conv against Keras' convolution and the loop of the reference."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf

from tfcnns.detection import wide_conv as module
from tfcnns.detection.wide_conv import is_wide, wide_conv


def built(filters, kernel, channels, **kwargs):
    layer = keras.layers.Conv2D(filters, kernel, bias_initializer="normal", **kwargs)
    layer.build((None, None, None, channels))
    return layer


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, (2, 3)])
def test_equals_the_loop_and_the_layer(kernel, padding):
    layer = built(4, kernel, 3, padding=padding, activation="relu")
    x = numbers(2, 7, 6, 3)
    z = references.conv2d(x, np.asarray(layer.kernel, "float64"), padding=padding)
    expected = np.maximum(z + np.asarray(layer.bias), 0)
    np.testing.assert_allclose(wide_conv(layer, x), expected, atol=1e-5)
    np.testing.assert_allclose(wide_conv(layer, x), layer(x), atol=1e-5)


def test_without_bias_or_activation_and_at_sizes_unknown_ahead():
    layer = built(4, 3, 3, use_bias=False)
    traced = tf.function(
        lambda x: wide_conv(layer, x), input_signature=[tf.TensorSpec((None, None, None, 3))]
    )
    for shape in [(2, 7, 6, 3), (1, 3, 3, 3)]:
        np.testing.assert_allclose(traced(numbers(*shape)), layer(numbers(*shape)), atol=1e-5)


def test_computes_in_the_layers_dtype():
    layer = built(4, 3, 3, dtype="mixed_bfloat16")
    y = wide_conv(layer, numbers(1, 5, 5, 3))
    assert y.dtype == "bfloat16"
    np.testing.assert_allclose(
        tf.cast(y, "float32"), tf.cast(layer(numbers(1, 5, 5, 3)), "float32"), atol=0.05
    )


def test_which_layers_are_wide(monkeypatch):
    assert not is_wide(built(4, 3, 3))
    monkeypatch.setattr(module, "WIDE", 100)
    assert is_wide(built(4, 3, 3))
    assert not is_wide(built(3, 3, 3))  # 81 weights
    for setting in ({"strides": 2}, {"dilation_rate": 2}, {"groups": 3}):
        assert not is_wide(built(24, 3, 3, **setting))
    assert not is_wide(keras.layers.Dense(1000))

    class Own(keras.layers.Conv2D):
        pass

    layer = Own(4, 3)
    layer.build((None, None, None, 3))
    assert not is_wide(layer)
