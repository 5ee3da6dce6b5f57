"""ZCAWhitening against pylearn2's formula, its inverse, and what it does to a covariance."""

import keras
import numpy as np
import pytest
import references_preprocessing as references
import tensorflow as tf

from tfcnns.layers.zca_whitening import ZCAWhitening, zca_matrices, zca_whiten

SHAPE = (3, 4, 2)


def images(n=60, scale=1.0):
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(n, 24)) @ rng.normal(size=(24, 24)) * scale + 5
    return mixed.reshape(n, *SHAPE).astype("float32")


def adapted(**kwargs):
    layer = ZCAWhitening(**kwargs)
    layer.adapt(images())
    return layer


@pytest.mark.parametrize("bias", [0.1, 2.0])
def test_equals_the_formula(bias):
    x = images()
    mean, whitening = references.zca(x, bias)
    layer = adapted(filter_bias=bias)
    np.testing.assert_allclose(layer.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(layer.whitening, whitening, atol=1e-6)
    expected = (x.reshape(60, 24).astype("float64") - mean) @ whitening
    np.testing.assert_allclose(np.reshape(layer(x), (60, 24)), expected, atol=2e-5)


def test_two_pixels_by_hand():
    # Variances 4 and 1, no covariance: divided by sqrt(4.1) and sqrt(1.1).
    x = np.array([[2, 1], [2, -1], [-2, 1], [-2, -1]], "float32").reshape(4, 1, 2, 1) + 3
    layer = ZCAWhitening()
    layer.adapt(x)
    np.testing.assert_allclose(layer(x)[0, 0, :, 0], [2 / 4.1**0.5, 1 / 1.1**0.5], rtol=1e-6)


def test_covariance_after_whitening():
    layer = adapted()
    rows = images().reshape(60, 24).astype("float64")
    eigenvalues, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    y = np.reshape(layer(images()), (60, 24))
    expected = (vectors * eigenvalues / (eigenvalues + 0.1)) @ vectors.T
    np.testing.assert_allclose(np.cov(y.T, bias=True), expected, atol=1e-4)
    np.testing.assert_allclose(layer.whitening, np.transpose(layer.whitening), atol=1e-7)


def test_inverse_is_exact():
    layer = adapted()
    np.testing.assert_allclose(layer.inverse(layer(images())), images(), atol=1e-4)
    np.testing.assert_allclose(
        layer.inverse(np.zeros((1, *SHAPE)))[0], layer.mean.numpy().reshape(SHAPE)
    )
    shape, mean, whitening, colouring = zca_matrices(images())
    assert shape == SHAPE
    assert mean.dtype == whitening.dtype == "float64"
    np.testing.assert_allclose(whitening @ colouring, np.eye(24), atol=1e-11)


def test_fewer_images_than_dimensions():
    x = images(5)
    layer = ZCAWhitening()
    layer.adapt(x)
    np.testing.assert_allclose(layer.inverse(layer(x)), x, atol=1e-4)
    with pytest.raises(ValueError, match="Received: filter_bias=0,"):
        ZCAWhitening(filter_bias=0).adapt(x)


def test_streams_equal_the_whole():
    x = images()
    labelled = tf.data.Dataset.from_tensor_slices((x, np.arange(60))).batch(7)
    for data in (labelled, [x[:1], x[1:50], x[50:]], (x[i : i + 30] for i in (0, 30))):
        layer = ZCAWhitening()
        layer.adapt(data)
        np.testing.assert_allclose(layer.whitening, adapted().whitening, atol=1e-6)


def test_new_images_are_whitened_with_the_old_mean():
    x = images() + 1
    mean, whitening = references.zca(images(), 0.1)
    expected = (x.reshape(60, 24).astype("float64") - mean) @ whitening
    np.testing.assert_allclose(np.reshape(adapted()(x), (60, 24)), expected, atol=2e-5)


def test_saved_with_the_model(tmp_path):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, adapted()(inputs))
    assert model.trainable_weights == []
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(images()), model(images()))


def test_passes_images_unchanged_and_warns_once_before_adapt(tmp_path):
    layer, x = ZCAWhitening(), images()
    with pytest.warns(UserWarning, match="was not adapted"):
        np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x), x)  # a second warning would raise
    inputs = keras.Input(SHAPE)
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    with pytest.warns(UserWarning, match="was not adapted"):
        again(x)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_small_floats(dtype):
    layer = adapted(dtype=dtype)
    assert {w.dtype for w in layer.weights} == {"float32"}
    y = keras.ops.cast(layer(images()), "float32")
    # It takes the images as they are and rounds the result.
    np.testing.assert_allclose(y, adapted()(images()), rtol=0.004, atol=1e-6)


def test_function_takes_one_image_or_many_and_runs_in_tf_data():
    _, mean, whitening, _ = zca_matrices(images())
    x = images()[:3]
    expected = adapted()(x)
    np.testing.assert_allclose(zca_whiten(x, mean, whitening), expected, atol=1e-5)
    data = tf.data.Dataset.from_tensor_slices(x)
    for one, several in zip(
        data.map(lambda i: zca_whiten(i, mean, whitening)), expected, strict=True
    ):
        np.testing.assert_allclose(one, several, atol=1e-5)
    assert adapted()(x[:0]).shape == (0, *SHAPE)


def test_refuses():
    with pytest.raises(ValueError, match="Received: filter_bias="):
        ZCAWhitening(filter_bias=-0.1)
    with pytest.raises(ValueError, match="Received: input_shape="):
        ZCAWhitening()(keras.Input((None, 4, 3)))
    layer = ZCAWhitening()
    layer.build((None, 4, 4, 2))
    with pytest.raises(ValueError, match=r"Received: shape=\(3, 4, 2\)"):
        layer.adapt(images())
    with pytest.raises(ValueError, match="expected shape"):
        adapted()(np.zeros((1, 4, 3, 2), "float32"))
    with pytest.raises(ValueError, match="at least one image"):
        ZCAWhitening().adapt([])


@pytest.mark.slow
def test_cifar_size():
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(500, 32, 32, 3)).astype("float32") for _ in range(8)]
    layer = ZCAWhitening()
    layer.adapt(batches)
    np.testing.assert_allclose(layer.inverse(layer(batches[0])), batches[0], atol=1e-4)
    y = np.concatenate([np.reshape(layer(batch), (500, -1)) for batch in batches])
    # P C P = I - 0.1 P^2, as P is the inverse root of C + 0.1 I.
    expected = 3072 - 0.1 * np.square(layer.whitening.numpy()).sum()
    np.testing.assert_allclose(y.var(axis=0).sum(), expected, rtol=1e-4)
