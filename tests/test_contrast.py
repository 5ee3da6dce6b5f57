"""Global and local contrast normalisation against loops, and what they do without contrast."""

import keras
import numpy as np
import pytest
import references_preprocessing as references
import tensorflow as tf

from tfcnns.layers.global_contrast_normalization import (
    GlobalContrastNormalization,
    global_contrast_normalize,
)
from tfcnns.layers.local_contrast_normalization import (
    LocalContrastNormalization,
    local_contrast_normalize,
)


def images(*shape):
    return np.random.default_rng(0).uniform(0, 255, size=shape or (3, 7, 9, 3)).astype("float32")


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": 55.0},
        {"scale": 1.0, "subtract_mean": False},
        {"scale": 1.0, "use_std": True, "sqrt_bias": 10.0},
        {"scale": 2.0, "use_std": True, "subtract_mean": False},
    ],
)
@pytest.mark.parametrize("shape", [(3, 7, 9, 3), (2, 1, 1, 1), (0, 4, 4, 3)])
def test_global_equals_the_loop(arguments, shape):
    x = images(*shape)
    y = GlobalContrastNormalization(**arguments)(x)
    expected = references.global_contrast_normalize(x, **arguments)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_global_gives_mean_0_and_the_norm():
    y = np.array(GlobalContrastNormalization()(images(4, 32, 32, 3)))
    np.testing.assert_allclose(y.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(y.reshape(4, -1), axis=1), 55, rtol=1e-6)
    np.testing.assert_allclose(y.std(axis=(1, 2, 3)), 0.99, atol=0.003)


@pytest.mark.parametrize("value", [0, 1, 0.1, 254.7, 6e4])
def test_global_turns_an_image_without_contrast_into_zeros(value):
    x = np.full((1, 32, 32, 3), value, "float32")
    np.testing.assert_array_equal(GlobalContrastNormalization()(x), np.zeros_like(x))


@pytest.mark.parametrize(("step", "divided"), [(1e-6, True), (3e-7, False)])
def test_global_leaves_a_small_norm_alone(step, divided):
    x = np.array([-step, step], "float64").reshape(1, 1, 2, 1)  # norm above or below 55e-8
    y = GlobalContrastNormalization(dtype="float64")(x)
    np.testing.assert_allclose(y, 55 * np.sign(x) / np.sqrt(2) if divided else x, rtol=1e-12)


def test_global_gradient_is_finite_without_contrast():
    x = tf.ones((1, 3, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = GlobalContrastNormalization()(x)
    assert np.isfinite(tape.gradient(y, x)).all()


@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("shape", [(2, 7, 10, 3), (1, 2, 5, 1), (0, 4, 4, 3)])
def test_local_equals_the_loop(size, shape):
    x = images(*shape) / 255 - 0.5
    y = LocalContrastNormalization(size)(x)
    expected = references.local_contrast_normalize(x, size, 1e-4)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_local_threshold_is_the_smallest_divisor():
    x = images(2, 8, 8, 2) / 255 - 0.5
    y = LocalContrastNormalization(threshold=5.0)(x)
    expected = references.local_contrast_normalize(x, 7, 5.0)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(5 * y, LocalContrastNormalization(threshold=1.0)(x), rtol=1e-5)


def test_local_window_by_hand():
    near, far = np.exp(-1 / 8), np.exp(-2 / 8)  # one and sqrt(2) pixels away, deviation 2
    total = 1 + 4 * near + 4 * far
    x = np.zeros((1, 3, 3, 1), "float32")
    x[0, 1, 1] = 1
    spread = np.sqrt(np.array([[far, near, far], [near, 1, near], [far, near, far]]) / total)
    expected = (x[0, :, :, 0] - spread**2) / np.maximum(spread, spread.mean())  # the corners' mean
    y = LocalContrastNormalization(3)(x)
    np.testing.assert_allclose(y[0, :, :, 0], expected, rtol=1e-5)


def test_local_removes_a_constant_away_from_the_border():
    y = np.array(LocalContrastNormalization()(np.full((1, 9, 9, 1), 7.0, "float32")))
    np.testing.assert_allclose(y[:, 3:-3, 3:-3], 0, atol=1e-6)
    assert y[0, 0, 0, 0] > 0.3  # beyond the border there are zeros
    black = np.zeros((1, 9, 9, 1), "float32")
    np.testing.assert_array_equal(LocalContrastNormalization()(black), black)


def test_svhn_chain():
    x = images(2, 32, 32, 3)
    chain = keras.Sequential([GlobalContrastNormalization(1.0), LocalContrastNormalization()])
    contrast = references.global_contrast_normalize(x, 1.0)
    expected = references.local_contrast_normalize(contrast, 7, 1e-4)
    np.testing.assert_allclose(chain(x), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer", [GlobalContrastNormalization, LocalContrastNormalization])
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_sums_of_large_halves(layer, dtype):
    x = images() * 250  # squares are far beyond float16
    y = layer(dtype=dtype)(x)  # takes the pixels as they are and rounds the result
    assert keras.backend.standardize_dtype(y.dtype) == dtype.removeprefix("mixed_")
    np.testing.assert_allclose(keras.ops.cast(y, "float32"), layer()(x), rtol=0.004)


@pytest.mark.parametrize("function", [global_contrast_normalize, local_contrast_normalize])
def test_functions_take_one_image_or_many_and_run_in_tf_data(function):
    x = images()
    batch = function(x)
    data = tf.data.Dataset.from_tensor_slices(x.astype("uint8").astype("float32"))
    for one, several, image in zip(data.map(function), function(np.floor(x)), x, strict=True):
        np.testing.assert_allclose(one, several, rtol=1e-4, atol=1e-5)
        assert function(image).shape == image.shape
    assert batch.dtype == "float32"
    assert function(x.astype("float64")).dtype == "float64"
    unsigned = np.floor(x).astype("uint8")
    np.testing.assert_allclose(function(unsigned), function(np.floor(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (GlobalContrastNormalization, {"scale": 0}, "Received: scale=0"),
        (GlobalContrastNormalization, {"sqrt_bias": -1}, "Received: sqrt_bias=-1"),
        (GlobalContrastNormalization, {"min_divisor": 0}, "Received: min_divisor=0"),
        (LocalContrastNormalization, {"kernel_size": 6}, "Received: kernel_size=6"),
        (LocalContrastNormalization, {"kernel_size": 1}, "Received: kernel_size=1"),
        (LocalContrastNormalization, {"kernel_size": (7, 7)}, r"Received: kernel_size=\(7, 7\)"),
        (LocalContrastNormalization, {"threshold": 0}, "Received: threshold=0"),
    ],
)
def test_refuses(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


def test_local_needs_the_number_of_channels():
    with pytest.raises(ValueError, match="Received: input_shape="):
        LocalContrastNormalization()(keras.Input((8, 8, None)))
