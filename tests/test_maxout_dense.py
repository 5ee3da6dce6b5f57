"""Dense maxout against the formula of Maxout Networks, section 3."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf

from tfcnns.layers import MaxoutDense


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_weights(layer, rng, features):
    """Builds the layer and gives it random weights; returns them as the paper's W and b."""
    layer.build((None, features))
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    w = layer.kernel.numpy().reshape(features, layer.units, layer.pieces)
    b = np.zeros(w.shape[1:]) if layer.bias is None else layer.bias.numpy().reshape(w.shape[1:])
    return w, b


@pytest.mark.parametrize("units", [1, 5])
@pytest.mark.parametrize("pieces", [1, 2, 5])
@pytest.mark.parametrize("min_zero", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_equals_the_formula(rng, units, pieces, min_zero, use_bias):
    layer = MaxoutDense(units, pieces, min_zero=min_zero, use_bias=use_bias)
    w, b = with_weights(layer, rng, 4)
    x = rng.normal(size=(6, 4)).astype("float32")
    expected = references.maxout_dense(x, w, b, zero=min_zero)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_a_unit_owns_consecutive_columns():
    layer = MaxoutDense(2, 3)
    layer.build((None, 1))
    layer.set_weights([np.array([[1, 2, 3, 40, 50, 60]]), np.array([0, 0, 7, 0, 0, 0])])
    np.testing.assert_array_equal(layer(np.array([[1.0], [-1.0]])), [[10, 60], [4, -40]])


def test_one_piece_is_dense(rng):
    ours, dense = MaxoutDense(5, 1), keras.layers.Dense(5)
    with_weights(ours, rng, 4)
    dense.build((None, 4))
    dense.set_weights(ours.get_weights())
    x = rng.normal(size=(3, 2, 4)).astype("float32")
    np.testing.assert_allclose(ours(x), dense(x), rtol=1e-5, atol=1e-6)


def test_any_leading_dimensions(rng):
    layer = MaxoutDense(3, 2)
    w, b = with_weights(layer, rng, 4)
    x = rng.normal(size=(2, 5, 3, 4)).astype("float32")
    expected = references.maxout_dense(x.reshape(-1, 4), w, b).reshape(2, 5, 3, 3)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, None, 3, 4)) == (None, None, 3, 3)


@pytest.mark.parametrize("min_zero", [False, True])
def test_gradients_equal_central_differences(rng, min_zero):
    layer = MaxoutDense(3, 2, min_zero=min_zero, dtype="float64")
    w, b = with_weights(layer, rng, 4)
    x, upstream = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    sources = [tf.constant(x), layer.kernel.value, layer.bias.value]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        loss = tf.reduce_sum(upstream * layer(sources[0]))
    gradients = tape.gradient(loss, sources)

    def loss_of(x, w, b):
        return np.sum(upstream * references.maxout_dense(x, w, b, zero=min_zero))

    for gradient, expected in zip(
        gradients,
        [
            references.numerical_gradient(lambda x: loss_of(x, w, b), x),
            references.numerical_gradient(lambda w: loss_of(x, w, b), w),
            references.numerical_gradient(lambda b: loss_of(x, w, b), b),
        ],
        strict=True,
    ):
        np.testing.assert_allclose(
            np.reshape(gradient, expected.shape), expected, rtol=1e-6, atol=1e-8
        )


def test_constraint_bounds_every_column(rng):
    layer = MaxoutDense(3, 2, kernel_constraint=keras.constraints.MaxNorm(0.5))
    with_weights(layer, rng, 4)
    layer.kernel.assign(layer.kernel.constraint(layer.kernel))
    assert np.linalg.norm(layer.kernel, axis=0).max() <= 0.5 + 1e-6


def test_regularizers_add_losses(rng):
    layer = MaxoutDense(3, 2, kernel_regularizer="l2", bias_regularizer="l1")
    with_weights(layer, rng, 4)
    kernel, bias = layer.get_weights()
    expected = [0.01 * np.sum(kernel**2), 0.01 * np.sum(abs(bias))]
    np.testing.assert_allclose(layer.losses, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": 0, "pieces": 2}, "Received: units=0"),
        ({"units": 2, "pieces": -1}, "Received: pieces=-1"),
        ({"units": 2, "pieces": 1.5}, "Received: pieces=1.5"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        MaxoutDense(**wrong)


def test_unknown_features_are_refused():
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, None\)"):
        MaxoutDense(2, 2)(keras.Input((None,)))
