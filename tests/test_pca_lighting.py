"""PCALighting: the components it finds, and the size of the noise it adds."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from tfcnns.layers.covariance import mean_and_covariance
from tfcnns.layers.pca_lighting import PCALighting, pca_lighting, rgb_pca

MIX = np.array([[0.2, 0.1, 0.0], [0.15, -0.1, 0.02], [0.1, 0.0, -0.04]])


def images(n=6, height=9, width=7):
    """Images with correlated channels, in [0, 1] or nearly."""
    noise = np.random.default_rng(0).uniform(-1, 1, size=(n, height, width, 3))
    return (0.5 + noise @ MIX.T).astype("float32")


def adapted(**kwargs):
    layer = PCALighting(**kwargs)
    layer.adapt(images())
    return layer


def components():
    pixels = images().reshape(-1, 3).astype("float64")
    return np.linalg.eigh(np.cov(pixels.T, bias=True))  # smallest first


def test_components_are_those_of_the_covariance():
    eigenvalues, eigenvectors = rgb_pca(images())
    expected, vectors = components()
    np.testing.assert_allclose(eigenvalues, expected[::-1], rtol=1e-9)
    np.testing.assert_allclose(np.abs(eigenvectors.T @ vectors[:, ::-1]), np.eye(3), atol=1e-9)
    assert (np.max(eigenvectors, axis=0) == np.max(np.abs(eigenvectors), axis=0)).all()


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("block", [3, 50, 1 << 22])
def test_streams_equal_the_whole(axes, block, monkeypatch):
    monkeypatch.setattr("tfcnns.layers.covariance._BLOCK", block)
    x = images(5, 2, 3)
    rows = x.reshape(-1, *x.shape[-axes:]).reshape(-1, 3 if axes == 1 else 18).astype("float64")
    labelled = tf.data.Dataset.from_tensor_slices((x, np.arange(5))).batch(2)
    for data in (x, tf.constant(x), [x[:1], x[1:]], (batch for batch in [x[:4], x[4:]]), labelled):
        shape, mean, covariance = mean_and_covariance(data, axes)
        assert shape == x.shape[-axes:]
        np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(rows.T, bias=True), atol=1e-15)


def test_a_large_offset_costs_no_digits():
    x = images()
    exact = rgb_pca(x.astype("float64"))[0]
    np.testing.assert_allclose(rgb_pca(x.astype("float64") + 1e6)[0], exact, rtol=1e-6)


def test_integers_are_welcome():
    x = (255 * images()).astype("uint8")
    np.testing.assert_allclose(rgb_pca(x)[0], rgb_pca(x.astype("float64"))[0], rtol=1e-12)


@pytest.mark.parametrize(("variant", "power"), [("paper", 2), ("code", 1)])
def test_covariance_of_the_noise(variant, power):
    scale, n = 0.3, 40000
    layer = adapted(scale=scale, variant=variant, seed=1)
    noise = np.reshape(layer(np.zeros((n, 1, 1, 3), "float32"), training=True), (n, 3))
    eigenvalues, vectors = components()
    expected = scale**2 * (vectors * eigenvalues**power) @ vectors.T
    # A variance of n draws is known to sqrt(2 / n) = 0.7 % of itself.
    assert np.abs(np.cov(noise.T) - expected).max() < 0.03 * expected.max()
    along = np.var(noise @ vectors, axis=0)  # each component alone, down to the smallest
    np.testing.assert_allclose(along, scale**2 * eigenvalues**power, rtol=0.03)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.02 * np.sqrt(expected.max()))


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_levels_on_photographs(variant):
    for photograph in load_sample_images().images:
        layer = PCALighting(variant=variant, seed=0)
        layer.adapt([photograph[None] / np.float32(255)])
        noise = 255 * np.array(layer(np.zeros((500, 1, 1, 3), "float32"), training=True))
        assert 1 < noise.std() < 15  # of 255


def test_one_draw_an_image_for_all_its_pixels():
    x = images()
    noise = np.array(adapted(seed=2)(x, training=True)) - x
    shift = noise[:, :1, :1]
    np.testing.assert_allclose(noise, np.broadcast_to(shift, noise.shape), atol=2e-7)
    assert len(np.unique(shift[..., 0])) == len(x)


def test_nothing_at_inference():
    x, layer = images(), adapted()
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(adapted(scale=0.0)(x, training=True), x)
    assert layer(x[:0], training=True).shape == (0, 9, 7, 3)


def test_passes_images_unchanged_and_warns_once_before_adapt():
    x, layer = images(), PCALighting()
    with pytest.warns(UserWarning, match="was not adapted"):
        np.testing.assert_array_equal(layer(x, training=True), x)
    np.testing.assert_array_equal(layer(x, training=True), x)  # a second warning would raise
    layer.adapt(x)
    assert np.abs(layer(x, training=True) - x).max() > 0


def test_warns_from_within_a_graph():
    step = tf.function(lambda layer, x: layer(x, training=True))
    with pytest.warns(UserWarning, match="was not adapted"):
        step(PCALighting(), tf.zeros((1, 4, 4, 3)))
    copy = PCALighting()
    copy.build((None, None, None, 3))
    copy.set_weights(adapted().get_weights())
    step(copy, tf.zeros((1, 4, 4, 3)))  # a warning would raise


def test_saved_with_the_model(tmp_path):
    layer = adapted(seed=3)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = images()
    np.testing.assert_array_equal(again(x, training=True), model(x, training=True))


def test_unadapted_stays_so_when_saved(tmp_path):
    inputs = keras.Input((4, 4, 3))
    keras.Model(inputs, PCALighting()(inputs)).save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    with pytest.warns(UserWarning, match="was not adapted"):
        again(np.zeros((1, 4, 4, 3), "float32"), training=True)


def test_a_new_draw_in_every_step_of_a_graph():
    layer = adapted()
    step = tf.function(lambda x: layer(x, training=True))
    x = images()
    assert np.abs(step(x) - step(x)).min() > 0


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_small_floats(dtype):
    layer = adapted(dtype=dtype, seed=4)
    assert {w.dtype for w in layer.weights} == {"float32"}
    y = keras.ops.cast(layer(images(), training=True), "float32")
    np.testing.assert_allclose(y, adapted(seed=4)(images(), training=True), atol=0.01)


def test_function_of_image_and_seed():
    eigenvalues, eigenvectors = rgb_pca(images())
    x = images()

    def noise(image, seed):
        return pca_lighting(image, eigenvectors, eigenvalues, seed) - image

    seed = np.array([3, 4], "int32")
    one = noise(x[0], seed)
    assert one.shape == (9, 7, 3)
    np.testing.assert_array_equal(noise(x[0], seed), one)
    assert np.abs(noise(x[0], np.array([3, 5], "int32")) - one).max() > 0
    batch = noise(x, seed)
    assert len(np.unique(np.round(batch[:, 0, 0, 0], 6))) == len(x)
    for other in (7, keras.random.SeedGenerator(7), tf.constant([7, 0], "int64")):
        np.testing.assert_array_equal(noise(x[0], other), noise(x[0], 7))
    half = pca_lighting(x[0].astype("float16"), eigenvectors, eigenvalues, seed)
    assert half.dtype == "float16"


def test_function_in_tf_data():
    eigenvalues, eigenvectors = rgb_pca(images())
    seeds = np.stack([np.full(6, 11), np.arange(6)], axis=1).astype("int32")
    data = tf.data.Dataset.from_tensor_slices((images(), seeds))
    noisy = data.map(lambda image, seed: pca_lighting(image, eigenvectors, eigenvalues, seed))
    for image, seed, y in zip(images(), seeds, noisy, strict=True):
        np.testing.assert_allclose(
            y, pca_lighting(image, eigenvectors, eigenvalues, seed), rtol=1e-6
        )


def test_layer_in_tf_data():
    layer = adapted()
    data = tf.data.Dataset.from_tensors(images()).repeat(2)
    first, second = data.map(lambda x: layer(x, training=True))
    assert np.abs(first - second).min() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": -0.1}, "Received: scale=-0.1"),
        ({"scale": float("nan")}, "Received: scale=nan"),
        ({"variant": "caffe"}, "Received: variant='caffe'"),
    ],
)
def test_refuses_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PCALighting(**arguments)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 4, 4, 1)), "Received: channels=1"),
        (np.zeros((4, 4, 3)), r"Received: shape=\(4, 4, 3\)"),
        ([np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 4))], r"Received: shape=\(1, 2, 2, 4\)"),
        (np.zeros((0, 4, 4, 3)), "at least one image. Received"),
        ([], "at least one image. Received"),
        (np.full((1, 2, 2, 3), np.nan), "Received: images with NaN"),
        (255 * images(), "Received: a sum of"),
    ],
)
def test_adapt_refuses(data, message):
    with pytest.raises(ValueError, match=message):
        PCALighting().adapt(data)


def test_code_variant_takes_any_unit():
    layer = PCALighting(variant="code", seed=5)
    layer.adapt(255 * images())
    x = images()
    noise = (np.array(layer(255 * x, training=True)) - 255 * x) / 255
    expected = np.array(adapted(variant="code", seed=5)(x, training=True)) - x
    np.testing.assert_allclose(noise, expected, atol=1e-5)


def test_refuses_inputs():
    with pytest.raises(ValueError, match="expected axis -1"):
        adapted()(np.zeros((1, 4, 4, 1), "float32"))
    with pytest.raises(ValueError, match="Received: dtype=uint8"):
        adapted()(np.zeros((1, 4, 4, 3), "uint8"), training=True)
