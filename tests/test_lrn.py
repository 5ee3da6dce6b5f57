"""Local response normalisation against the formula of AlexNet, section 3.3."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf

from tfcnns.layers import LRN


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"depth_radius": 0},
        {"depth_radius": 1, "bias": 1.0, "alpha": 0.1, "beta": 0.5},
        {"depth_radius": 4, "bias": 1.0, "alpha": 1e-3, "beta": 1.0},
        {"depth_radius": 3, "bias": 0.5, "alpha": 0.3, "beta": 1.3},
        {"beta": 0.0},
        {"depth_radius": 40},
    ],
)
@pytest.mark.parametrize("shape", [(2, 3, 4, 7), (3, 2), (2, 3, 3, 1), (2, 5, 1, 2, 300)])
def test_equals_the_formula(rng, settings, shape):
    a = rng.normal(scale=30, size=shape)
    renamed = {"bias": "k", "alpha": "alpha", "beta": "beta"}
    formula = {renamed[name]: value for name, value in settings.items() if name in renamed}
    n = 2 * settings.get("depth_radius", 2) + 1
    b = LRN(**settings)(a.astype("float32"))
    np.testing.assert_allclose(b, references.lrn(a, n, **formula), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [3, 96, 300])
def test_equals_tensorflows_own(rng, channels):
    x = tf.constant(rng.normal(scale=30, size=(2, 5, 3, channels)), "float32")
    results = []
    for normalize in (LRN(alpha=1e-2), lambda x: tf.nn.lrn(x, 2, 2.0, 1e-2, 0.75)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = normalize(x)
        results.append((y, tape.gradient(y, x, output_gradients=tf.sin(x))))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_numbers_worked_out_by_hand():
    layer = LRN(depth_radius=1, bias=1.0, alpha=1.0, beta=1.0)
    b = layer(np.array([[1.0, 2.0, 3.0, 0.0]], "float32"))
    np.testing.assert_allclose(b, [[1 / 6, 2 / 15, 3 / 14, 0]], rtol=1e-6)


def test_without_alpha_it_is_a_division(rng):
    a = rng.normal(size=(2, 3, 3, 5)).astype("float32")
    np.testing.assert_allclose(LRN(bias=16.0, alpha=0.0)(a), a / 8, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 2, 6), (1, 140)])
@pytest.mark.parametrize("beta", [0.5, 0.75, 1.0, 1.3])
def test_gradient_equals_central_differences(rng, shape, beta):
    settings = {"depth_radius": 1, "bias": 1.5, "alpha": 0.2, "beta": beta}
    a, upstream = rng.normal(scale=2, size=(2, *shape))
    x = tf.constant(a)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(upstream * LRN(dtype="float64", **settings)(x))
    expected = references.numerical_gradient(
        lambda a: np.sum(upstream * references.lrn(a, 3, 1.5, 0.2, beta)), a
    )
    np.testing.assert_allclose(tape.gradient(loss, x), expected, rtol=1e-6, atol=1e-8)


def test_gradient_can_be_differentiated_again(rng):
    a = rng.normal(size=(1, 4))
    layer = LRN(depth_radius=1, alpha=0.3, dtype="float64")

    def squared_gradient(a):
        x = tf.constant(a)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(layer(x) ** 2)
            loss = tf.reduce_sum(inner.gradient(y, x) ** 2)
        return loss, outer.gradient(loss, x)

    expected = references.numerical_gradient(lambda a: squared_gradient(a)[0].numpy(), a)
    np.testing.assert_allclose(squared_gradient(a)[1], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 1e-3), ("bfloat16", 8e-3)])
def test_sums_in_float32_under_any_policy(policy, tolerance):
    # 300^2 * 5 is 450,000: a float16 sum would be infinite and the output zero.
    a = np.full((2, 3, 3, 5), 300.0, "float32")
    b = LRN(alpha=1.0, dtype=policy)(a)
    assert keras.backend.standardize_dtype(b.dtype) == policy.removeprefix("mixed_")
    np.testing.assert_allclose(
        keras.ops.cast(b, "float32"), references.lrn(a, alpha=1.0), rtol=tolerance
    )


def test_largest_float16_and_huge_float32_stay_finite():
    x = tf.fill((1, 8), tf.constant(65504.0, "float16"))
    assert np.isfinite(LRN(dtype="float16")(x)).all()
    x = tf.fill((1, 8), 1e18)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = LRN()(x)
    assert np.isfinite(y).all()
    assert np.isfinite(tape.gradient(y, x)).all()


def test_channels_first_is_the_transpose(rng):
    a = rng.normal(scale=30, size=(2, 7, 3, 4)).astype("float32")
    last = LRN()(np.moveaxis(a, 1, -1))
    first = LRN(data_format="channels_first")(a)
    np.testing.assert_array_equal(first, np.moveaxis(np.asarray(last), -1, 1))


def test_integers_are_normalised_too():
    a = np.array([[1, 2, 3]], "uint8")
    np.testing.assert_allclose(LRN(bias=1.0)(a), references.lrn(a, k=1.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth_radius": -1}, "Received: depth_radius=-1"),
        ({"depth_radius": 2.0}, "Received: depth_radius=2.0"),
        ({"bias": -1.0}, "Received: bias=-1.0"),
        ({"alpha": -1e-4}, "Received: alpha=-0.0001"),
        ({"alpha": float("nan")}, "Received: alpha=nan"),
        ({"beta": float("inf")}, "Received: beta=inf"),
        ({"data_format": "NHWC"}, "Received: data_format='NHWC'"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        LRN(**wrong)


def test_unknown_channels_and_vectors_are_refused():
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 8, 8, None\)"):
        LRN()(keras.Input((8, 8, None)))
    with pytest.raises(ValueError, match="min_ndim=2"):
        LRN()(np.ones(3, "float32"))
