"""ScaledDropout: how much it keeps, what it does to what it keeps, and when."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers.scaled_dropout import ScaledDropout

ONES = np.ones((200, 500), "float32")


@pytest.mark.parametrize(("rate", "scale"), [(0.2, 1.0), (0.5, 2.0), (0.9, 0.5)])
def test_keeps_1_minus_rate_times_scale(rate, scale):
    y = np.array(ScaledDropout(rate, scale, seed=0)(ONES, training=True))
    np.testing.assert_array_equal(np.unique(y), [0, scale])
    # 100,000 draws: the fraction is known to 0.16 %.
    np.testing.assert_allclose((y > 0).mean(), 1 - rate, atol=0.01)
    for axis in (0, 1):  # every value on its own
        assert 0 < (y > 0).mean(axis=axis).std() < 0.06


def test_maxouts_input_keeps_its_values():
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    y = np.array(ScaledDropout(0.2, seed=1)(x, training=True))
    assert ((y == x) | (y == 0)).all()


def test_scale_of_keras_dropout():
    y = ScaledDropout(0.75, 4.0, seed=2)(ONES, training=True)
    np.testing.assert_allclose(np.mean(y), 1, atol=0.03)


def test_nothing_at_inference():
    np.testing.assert_array_equal(ScaledDropout(0.9, 3.0)(ONES), ONES)
    np.testing.assert_array_equal(ScaledDropout(0.9, 3.0)(ONES, training=False), ONES)


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 3.0), (1.0, 0.0)])
def test_ends_of_the_range(rate, expected):
    y = ScaledDropout(rate, 3.0)(ONES, training=True)
    np.testing.assert_array_equal(y, expected * ONES)


def test_seeds():
    first, again, other = (ScaledDropout(0.5, seed=seed) for seed in (3, 3, 4))
    y = np.array(first(ONES, training=True))
    np.testing.assert_array_equal(again(ONES, training=True), y)
    assert (np.array(other(ONES, training=True)) != y).any()
    assert (np.array(first(ONES, training=True)) != y).any()  # a second draw


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_a_new_draw_in_every_step_of_a_graph(compiled):
    layer = ScaledDropout(0.5)
    step = tf.function(
        lambda x: layer(x, training=True),
        jit_compile=compiled,
        input_signature=[tf.TensorSpec((None, None))],
    )
    assert (np.array(step(ONES)) != np.array(step(ONES))).any()
    assert step(ONES[:0]).shape == (0, 500)


def test_gradient_is_the_mask():
    x = tf.constant(ONES)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ScaledDropout(0.3, 1.5)(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)


def test_infinity_is_dropped_too():
    y = np.array(ScaledDropout(0.5, seed=0)(np.inf * ONES, training=True))
    np.testing.assert_array_equal(np.unique(y), [0, np.inf])


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_small_floats_draw_the_same(dtype):
    y = ScaledDropout(0.2, seed=5, dtype=dtype)(ONES, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == dtype.removeprefix("mixed_")
    exact = ScaledDropout(0.2, seed=5)(ONES, training=True)
    np.testing.assert_array_equal(keras.ops.cast(y, "float32"), exact)


def test_in_fit():
    model = keras.Sequential([ScaledDropout(1.0), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    model.build((None, 500))
    before = model.get_weights()[0]
    model.fit(ONES[:32], np.ones((32, 1)), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)  # everything was dropped
    assert np.abs(model.predict(ONES[:2], verbose=0)).max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": -0.1}, "Received: rate=-0.1"),
        ({"rate": 1.1}, "Received: rate=1.1"),
        ({"rate": 0.5, "scale": float("inf")}, "Received: scale=inf"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScaledDropout(**arguments)
