"""The released nets' rectifier against Torch's definition of Threshold(0, 1e-6)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import threshold

X = np.array([-np.inf, -2, -1e-7, 0, 1e-7, 1e-6, 0.5, np.inf, np.nan], "float32")
Y = np.array([1e-6, 1e-6, 1e-6, 1e-6, 1e-7, 1e-6, 0.5, np.inf, np.nan], "float32")


def test_values():
    np.testing.assert_array_equal(threshold(tf.constant(X)), Y)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_keeps_the_dtype(dtype):
    y = threshold(tf.constant([-1.0, 0.0, 2.0], dtype))
    assert y.dtype == dtype
    np.testing.assert_allclose(tf.cast(y, "float32"), [1e-6, 1e-6, 2], rtol=0.03)


def test_gradient_is_the_relus():
    x = tf.constant([-1.0, 0.0, 1e-7, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = threshold(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 0, 1, 1])


def test_is_saved_by_name(tmp_path):
    images = keras.Input((3,))
    model = keras.Model(images, keras.layers.Dense(2, activation=threshold)(images))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert again.layers[-1].activation is threshold
    assert keras.saving.get_registered_name(threshold) == "tfcnns>threshold"
