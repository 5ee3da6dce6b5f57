"""LARS against algorithm 1 of its paper, written out in NumPy."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import TowerConv, xla_segments
from tfcnns.models import alexnet
from tfcnns.pipelines import digits
from tfcnns.training import LARS, PaperSGD, make_strategy
from tfcnns.training.placement import build_optimizer
from tfcnns.training.schedules import WarmUp

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Exact in float32, in which an optimiser keeps its rate and momentum.
RATE, MOMENTUM, DECAY, TRUST = 8.0, 0.875, 0.0625, 0.015625
STEPS = 5


def norm(x):
    return np.sqrt(sum(float(value) ** 2 for value in x.ravel()))


class Reference:
    """Algorithm 1 for one weight, with the velocity's sign turned as in AlexNet's section 5."""

    def __init__(self, w, layerwise=True, decay=DECAY, rate=RATE):
        self.w, self.v = np.array(w, "float64"), 0.0
        self.layerwise, self.decay, self.rate = layerwise, decay, rate

    def update(self, gradient):
        g = np.array(gradient, "float64")
        local = 1.0
        if self.layerwise and norm(self.w) > 0 and norm(g) > 0:
            local = TRUST * norm(self.w) / (norm(g) + self.decay * norm(self.w))
        self.v = MOMENTUM * self.v - self.rate * local * (g + self.decay * self.w)
        self.w = self.w + self.v


def layer(dtype="float64"):
    """A dense layer from 3 to 2 with the weights conv1/kernel and conv1/bias."""
    keras.utils.set_random_seed(0)
    result = keras.layers.Dense(2, bias_initializer="normal", dtype=dtype, name="conv1")
    result.build((None, 3))
    return result


def lars(**arguments):
    return LARS(RATE, MOMENTUM, DECAY, TRUST, **arguments)


def gradients(step, variables):
    rng = np.random.default_rng([7, step])
    return [tf.constant(rng.normal(size=v.shape), v.dtype) for v in variables]


@pytest.mark.parametrize("segments", [False, True])
def test_algorithm_1_step_by_step(segments):
    kernel, bias = layer().weights
    expected = Reference(kernel), Reference(bias, layerwise=False, decay=0.0, rate=RATE / 4)
    optimizer = lars(multipliers={"bias": 0.25})
    with xla_segments(segments):
        for step in range(STEPS):
            given = gradients(step, (kernel, bias))
            optimizer.apply(given, [kernel, bias])
            for weight, g, reference in zip((kernel, bias), given, expected, strict=True):
                reference.update(g)
                np.testing.assert_allclose(weight, reference.w, rtol=1e-13)


def test_the_length_of_a_step_does_not_depend_on_that_of_the_gradient():
    for scale in (1e-12, 1.0, 1e12):
        kernel = layer("float32").kernel
        before = kernel.numpy()
        (g,) = gradients(0, [kernel])
        LARS(RATE, 0.0, trust=TRUST).apply([scale * g], [kernel])
        moved = norm(kernel.numpy() - before)
        assert moved == pytest.approx(RATE * TRUST * norm(before), rel=1e-6)


@pytest.mark.parametrize("zero", ["weight", "gradient"])
def test_nothing_is_scaled_by_the_norm_of_zeros(zero):
    kernel = layer().kernel
    (g,) = gradients(0, [kernel])
    if zero == "weight":
        kernel.assign(np.zeros(kernel.shape))
    else:
        g = tf.zeros_like(g)
    expected = kernel.numpy() - RATE * (g.numpy() + DECAY * kernel.numpy())
    lars().apply([g], [kernel])
    np.testing.assert_allclose(kernel, expected, rtol=1e-14)


def test_norms_of_half_precision_weights_do_not_overflow():
    kernel = layer("float16").kernel
    kernel.assign(np.full(kernel.shape, 300.0))  # 300 squared is more than float16 holds
    lars().apply([tf.ones(kernel.shape, "float16")], [kernel])
    reference = Reference(np.full(kernel.shape, 300.0))
    reference.update(np.ones(kernel.shape))
    np.testing.assert_allclose(kernel, reference.w, rtol=2e-3)  # float16 has 11 bits


def test_each_tower_has_a_ratio_of_its_own():
    conv = TowerConv(4, 1, use_bias=False)
    conv.build((None, 3, 3, 4))
    weights = conv.weights
    assert len(weights) == 2
    expected = [Reference(w) for w in weights]
    given = [tf.ones(weights[0].shape), 100 * tf.ones(weights[1].shape)]
    lars().apply(given, weights)
    for weight, g, reference in zip(weights, given, expected, strict=True):
        reference.update(g)
        np.testing.assert_allclose(weight, reference.w, rtol=1e-5)


def test_towers_on_devices_end_as_on_one():
    def trained(devices):
        keras.utils.set_random_seed(0)
        model = alexnet((67, 67, 3), 5, width=1 / 16, initializers="he_normal", devices=devices)
        model.compile(
            LARS(0.5, multipliers={"bias": 0.001}, trust=0.01), "sparse_categorical_crossentropy"
        )
        build_optimizer(model)
        x = np.random.default_rng(1).normal(size=(8, 67, 67, 3)).astype("float32")
        model.fit(x, np.arange(8) % 5, batch_size=4, shuffle=False, verbose=0)
        return model.get_weights()

    # float32 sums in another order, values of order one.
    for mine, other in zip(trained(("/CPU:0", "/CPU:1")), trained(None), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)


def regression(optimizer):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="conv1")])
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(5)
    dataset = tf.data.Dataset.from_tensor_slices(
        (rng.normal(size=(11, 3)).astype("float32"), rng.normal(size=(11, 2)).astype("float32"))
    ).batch(4)  # the last batch holds 3, which two replicas can't share evenly
    return model, dataset


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_two_replicas_end_as_one(policy):
    def trained(strategy):
        with strategy.scope():
            model, dataset = regression(LARS(1.0, multipliers={"bias": 0.01}, trust=0.1))
        model.fit(dataset, epochs=4, shuffle=False, verbose=0)
        assert isinstance(model.optimizer, LARS) is (policy == "float32")
        return model.get_weights()

    keras.config.set_dtype_policy(policy)
    try:
        start = regression(PaperSGD(0.1))[0].get_weights()
        one, two = trained(make_strategy("one")), trained(make_strategy("mirrored"))
    finally:
        keras.config.set_dtype_policy("float32")
    # float16 gradients of halves of a batch round differently: 2^-11 of each, 12 steps.
    tolerance = 1e-6 if policy == "float32" else 5e-3
    for mine, other, first in zip(two, one, start, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance)
        assert np.abs(mine - first).max() > 20 * tolerance


def test_learns_digits_in_batches_of_512():
    """Two updates an epoch, at the rate and with the small rate of biases that the docs advise."""
    images, labels = digits.load_digits("train", size=8)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    optimizer = LARS(10.0, 0.9, 5e-4, multipliers={"bias": 0.001})
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    callbacks = [WarmUp(10.0, 8)]
    model.fit(images, labels, batch_size=512, epochs=20, callbacks=callbacks, verbose=0)
    test = digits.load_digits("test", size=8)
    assert model.evaluate(*test, verbose=0)[1] > 0.9  # chance is .1


def test_loss_scaling_around_it_changes_nothing():
    plain, scaled = layer().weights, layer().weights
    a, b = lars(), keras.optimizers.LossScaleOptimizer(lars(), initial_scale=1024)
    for step in range(STEPS):
        given = gradients(step, plain)
        a.apply(given, plain)
        b.apply([1024 * g for g in given], scaled)
    for x, y in zip(plain, scaled, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("trust", [0.0, -1.0, np.inf, np.nan])
def test_wrong_trust(trust):
    with pytest.raises(
        ValueError, match=f"`trust` must be a finite number > 0. Received: trust={trust}"
    ):
        LARS(1.0, trust=trust)


def test_config_round_trip():
    optimizer = lars(multipliers={"bias": 2.0}, decay_biases=True, clipnorm=3.0, name="it")
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    assert isinstance(again, LARS)
    assert again.get_config() == optimizer.get_config()
    assert again.get_config()["trust"] == TRUST


def test_on_jax():
    pytest.importorskip("jax")
    script = """
import keras, jax, numpy as np
from tfcnns.training import LARS

layer = keras.layers.Dense(2, bias_initializer="normal", name="conv1")
layer.build((None, 3))
optimizer = LARS(8.0, 0.875, 0.0625, trust=0.015625)
optimizer.build(layer.weights)
w, b = (x.numpy() for x in layer.weights)
v = c = 0.0
values, state = [x.value for x in layer.weights], [x.value for x in optimizer.variables]
for step in range(4):
    rng = np.random.default_rng(step)
    g, h = rng.normal(size=(3, 2)).astype("float32"), rng.normal(size=2).astype("float32")
    values, state = jax.jit(optimizer.stateless_apply)(state, [g, h], values)
    local = 0.015625 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.0625 * np.linalg.norm(w))
    v = 0.875 * v - 8 * local * (g + 0.0625 * w)
    c = 0.875 * c - 8 * h
    w, b = w + v, b + c
np.testing.assert_allclose(values[0], w, rtol=1e-5, atol=1e-6)
np.testing.assert_allclose(values[1], b, rtol=1e-5, atol=1e-5)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
