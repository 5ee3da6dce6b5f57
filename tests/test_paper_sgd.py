"""PaperSGD against the equations, written out in NumPy."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.placement import build_optimizer

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Exact in float32, in which an optimiser keeps its rate and momentum; weights are float64.
RATE, MOMENTUM, DECAY = 0.125, 0.875, 0.0625
STEPS = 6


def layers(*names, dtype="float64"):
    """Built dense layers; their weights are NAME/kernel (3, 2) and NAME/bias (2,)."""
    result = [keras.layers.Dense(2, dtype=dtype, name=name) for name in names]
    for layer in result:
        layer.build((None, 3))
    return result


def weights(*names, seed=0, dtype="float64"):
    """Random weights, the same for the same seed: kernel and bias of each name."""
    rng = np.random.default_rng(seed)
    variables = [v for layer in layers(*names, dtype=dtype) for v in layer.weights]
    for v in variables:
        v.assign(rng.normal(size=v.shape))
    return variables


def gradients(variables, step):
    rng = np.random.default_rng([7, step])
    return [rng.normal(size=v.shape).astype(v.dtype) for v in variables]


def apply(optimizer, variables, step):
    optimizer.apply([tf.constant(g) for g in gradients(variables, step)], variables)


def values(variables):
    return [v.numpy().copy() for v in variables]


def reference(w, rate, momentum, decay, steps=STEPS):
    """AlexNet, section 5, for one list of weights; each argument: a list, one for a weight.

    Rate and momentum may be functions of the step.
    """
    w = [x.copy() for x in w]
    v = [np.zeros_like(x) for x in w]
    for step in range(steps):
        for i, g in enumerate(gradients(w, step)):
            e = rate[i](step) if callable(rate[i]) else rate[i]
            m = momentum(step) if callable(momentum) else momentum
            v[i] = m * v[i] - decay[i] * e * w[i] - e * g
            w[i] = w[i] + v[i]
    return w


def test_alexnets_rule_step_by_step():
    variables = weights("conv1")
    optimizer = PaperSGD(RATE, MOMENTUM, DECAY)
    start = values(variables)
    for step in range(STEPS):
        apply(optimizer, variables, step)
        expected = reference(start, [RATE, RATE], MOMENTUM, [DECAY, 0.0], step + 1)
        for w, e in zip(values(variables), expected, strict=True):
            np.testing.assert_allclose(w, e, rtol=1e-14)


def test_multipliers_scale_the_decay_too():
    # cuda-convnet: inc = mom inc - wc eps w + eps grad, with the layer's own eps
    variables = weights("conv1", "cccp6")
    start = values(variables)
    optimizer = PaperSGD(
        RATE, MOMENTUM, DECAY, multipliers={"bias": 2.0, "cccp6": 0.5}, decay_biases=True
    )
    for step in range(STEPS):
        apply(optimizer, variables, step)
    rates = [RATE, 2 * RATE, RATE / 2, RATE]
    for w, e in zip(values(variables), reference(start, rates, MOMENTUM, [DECAY] * 4), strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-14)


def test_pylearn2s_rule_with_a_norm_constraint():
    # v = mom v - lr scale g; p += v; then the columns of p are shortened, v is left alone.
    (layer,) = layers("h1")
    layer.kernel.constraint = keras.constraints.MaxNorm(0.5, axis=0)
    layer.kernel.assign(np.full((3, 2), 0.1))
    optimizer = PaperSGD(RATE, 0.5, multipliers={"^h1/": 0.0625})
    w, v = np.full((3, 2), 0.1), 0.0
    for step in range(STEPS):
        gradient = 8 * gradients([w], step)[0]
        optimizer.apply([tf.constant(gradient)], [layer.kernel])
        v = 0.5 * v - RATE * 0.0625 * gradient
        w = w + v
        norm = np.sqrt((w**2).sum(0))
        w = w * np.minimum(norm, 0.5) / (1e-7 + norm)
        np.testing.assert_allclose(layer.kernel.numpy(), w, rtol=1e-6)


def test_rate_and_momentum_may_change_between_updates():
    variables = weights("conv1")
    start = values(variables)
    optimizer = PaperSGD(RATE, 0.5)
    for step in range(STEPS):
        if step == 2:
            optimizer.momentum = 0.75
        if step == 4:
            optimizer.learning_rate = RATE / 16
        apply(optimizer, variables, step)
    rate = lambda step: RATE if step < 4 else RATE / 16  # noqa: E731
    momentum = lambda step: 0.5 if step < 2 else 0.75  # noqa: E731
    for w, e in zip(
        values(variables), reference(start, [rate, rate], momentum, [0, 0]), strict=True
    ):
        np.testing.assert_allclose(w, e, rtol=1e-14)


@pytest.mark.parametrize("cut", [1.0, 0.5])
def test_torchs_form_differs_only_by_what_a_cut_does_to_the_velocity(cut):
    """torch.optim.SGD: buf = m buf + g + d w; w -= lr buf."""
    variables = weights("conv1")[:1]
    optimizer = PaperSGD(RATE, MOMENTUM, DECAY)
    (w,) = values(variables)
    buffer, rate = 0.0, RATE
    for step in range(STEPS):
        if step == 3:
            rate *= cut
            optimizer.learning_rate = rate
            np.testing.assert_allclose(optimizer.velocities[0].numpy(), -RATE * buffer, rtol=1e-13)
            optimizer.velocities[0].assign(cut * optimizer.velocities[0])
        apply(optimizer, variables, step)
        buffer = MOMENTUM * buffer + gradients([w], step)[0] + DECAY * w
        w = w - rate * buffer
        np.testing.assert_allclose(values(variables)[0], w, rtol=1e-13)


def test_without_decay_and_multipliers_it_is_keras_sgd_to_the_bit():
    ours, theirs = weights("conv1", dtype="float32"), weights("conv1", dtype="float32")
    a, b = PaperSGD(0.01, 0.9), keras.optimizers.SGD(0.01, 0.9)
    for step in range(STEPS):
        apply(a, ours, step)
        apply(b, theirs, step)
    for x, y in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_decay_is_not_keras_decoupled_one():
    ours, theirs = weights("conv1"), weights("conv1")
    a, b = PaperSGD(RATE, MOMENTUM, DECAY), keras.optimizers.SGD(RATE, MOMENTUM)
    b.weight_decay = DECAY
    for step in range(STEPS):
        apply(a, ours, step)
        apply(b, theirs, step)
    assert np.abs(values(ours)[0] - values(theirs)[0]).max() > 0.01


def test_a_weight_gets_the_product_of_all_patterns_in_its_path():
    optimizer = PaperSGD(
        0.1,
        weight_decay=0.004,
        multipliers={"bias": 2.0, "mlpconv3/cccp2": 0.1, "(^|/)conv1/": 0.5},
        decay_multipliers={"^conv": 0.0, "fc10": 2.5},
    )
    paths = ("conv1/kernel", "conv10/kernel", "conv10/bias", "mlpconv3/cccp2/bias")
    assert [optimizer.multiplier(p) for p in paths] == [0.5, 1.0, 2.0, 0.2]
    paths = ("conv1/kernel", "local3/kernel", "fc10/kernel", "local3/bias", "bias/kernel")
    assert [optimizer.decay(p) for p in paths] == [0.0, 0.004, 0.01, 0.0, 0.004]


def test_keras_own_way_to_exclude_from_decay_holds_here():
    variables = weights("conv1")[:1]
    start = values(variables)
    optimizer = PaperSGD(RATE, MOMENTUM, DECAY)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    apply(optimizer, variables, 0)
    np.testing.assert_allclose(values(variables)[0], reference(start, [RATE], 0, [0], 1)[0])


def test_clipping_acts_on_the_gradient_before_the_decay_is_added():
    variables = weights("conv1")[:1]
    (w,) = values(variables)
    optimizer = PaperSGD(RATE, MOMENTUM, DECAY, clipvalue=0.25)
    apply(optimizer, variables, 0)
    gradient = np.clip(gradients([w], 0)[0], -0.25, 0.25)
    np.testing.assert_allclose(values(variables)[0], w - RATE * (gradient + DECAY * w))


def test_accumulated_gradients_make_one_update_of_their_mean():
    variables = weights("conv1")[:1]
    (w,) = values(variables)
    optimizer = PaperSGD(RATE, MOMENTUM, DECAY, gradient_accumulation_steps=2)
    apply(optimizer, variables, 0)
    np.testing.assert_array_equal(values(variables)[0], w)
    apply(optimizer, variables, 1)
    mean = (gradients([w], 0)[0] + gradients([w], 1)[0]) / 2
    np.testing.assert_allclose(values(variables)[0], w - RATE * (mean + DECAY * w))


def test_loss_scaling_around_it_changes_nothing():
    plain, scaled = weights("conv1"), weights("conv1")
    a = PaperSGD(RATE, MOMENTUM, DECAY)
    b = keras.optimizers.LossScaleOptimizer(PaperSGD(RATE, MOMENTUM, DECAY), initial_scale=1024)
    for step in range(STEPS):
        apply(a, plain, step)
        b.apply([tf.constant(1024 * g) for g in gradients(scaled, step)], scaled)
    for x, y in zip(values(plain), values(scaled), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.0}, "a finite number >= 0 and < 1. Received: momentum=1.0"),
        ({"weight_decay": -1e-4}, "a finite number >= 0. Received: weight_decay=-0.0001"),
        ({"weight_decay": None}, "Received: weight_decay=None"),
        ({"multipliers": {"(": 2.0}}, "regular expressions as keys. Received: '\\('"),
        ({"multipliers": {"bias": -1.0}}, "multipliers >= 0. Received: 'bias': -1.0"),
        ({"decay_multipliers": {"a": np.inf}}, "decay_multipliers >= 0. Received: 'a': inf"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PaperSGD(0.1, **arguments)


@pytest.mark.parametrize("argument", ["multipliers", "decay_multipliers"])
def test_a_pattern_that_matches_nothing_is_named(argument):
    optimizer = PaperSGD(0.1, **{argument: {"bias": 2.0, "cccp7": 0.1}})
    with pytest.raises(ValueError, match=r"'cccp7', which is in none of \['conv1/kernel', 'c"):
        optimizer.check_patterns(weights("conv1"))
    with pytest.warns(UserWarning, match=r"'cccp7' of the multipliers is in none of the trained"):
        optimizer.build(weights("conv1"))


def test_multipliers_may_be_for_layers_that_are_frozen():
    layers = [keras.layers.Dense(1, use_bias=False, name=name) for name in ("conv1", "fc")]
    model = keras.Sequential([keras.Input((1,)), *layers])
    layers[0].trainable = False
    model.compile(PaperSGD(0.5, 0.0, multipliers={"conv": 0.1, "fc": 0.5}), "mse")
    build_optimizer(model)
    model.set_weights([np.float32([[2]]), np.float32([[3]])])
    model.fit(np.float32([[1]]), np.float32([[5]]), verbose=0)
    # y = 6; the gradient 2 (6 - 5) 2 times .5 times .5 is taken off.
    np.testing.assert_allclose(model.get_weights(), [[[2]], [[2]]], rtol=1e-6)
    model.compile(PaperSGD(0.5, multipliers={"cnov": 0.1}), "mse")
    with pytest.raises(ValueError, match="Received: 'cnov', which is in none of"):
        build_optimizer(model)


def test_config_round_trip():
    optimizer = PaperSGD(
        0.5,
        momentum=0.5,
        weight_decay=5e-4,
        multipliers={"bias": 2.0},
        decay_multipliers={"fc": 0.5},
        decay_biases=True,
        clipnorm=3.0,
        name="sgd",
    )
    config = optimizer.get_config()
    assert json.loads(json.dumps(config)) == config
    assert PaperSGD.from_config(dict(config)).get_config() == config
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, PaperSGD)
    assert again.get_config() == config


def regression(optimizer, **compile_arguments):
    """A linear layer from 3 inputs to 2 outputs, and 12 examples in batches of 4."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="conv1")])
    model.compile(optimizer, "mse", **compile_arguments)
    rng = np.random.default_rng(5)
    return model, rng.normal(size=(12, 3)).astype("float32"), rng.normal(size=(12, 2))


def fit(model, x, y, epochs=2):
    model.fit(x, y, batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return values(model.trainable_variables)


def paper_sgd():
    return PaperSGD(RATE, MOMENTUM, DECAY, multipliers={"bias": 2.0})


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_follows_the_equations(jit_compile):
    model, x, y = regression(paper_sgd(), jit_compile=jit_compile)
    w, b = (p.astype("float64") for p in values(model.trainable_variables))
    u, c = 0.0, 0.0
    for start in [0, 4, 8] * 2:
        inputs = x[start : start + 4].astype("float64")
        error = 2 * (inputs @ w + b - y[start : start + 4]) / 8  # mean over 4 x 2 values
        u = MOMENTUM * u - RATE * (inputs.T @ error + DECAY * w)
        c = MOMENTUM * c - 2 * RATE * error.sum(0)
        w, b = w + u, b + c
    trained = fit(model, x, y)
    np.testing.assert_allclose(trained[0], w, rtol=1e-5, atol=1e-6)  # float32, six updates
    np.testing.assert_allclose(trained[1], b, rtol=1e-5, atol=1e-6)


def test_fit_under_a_mirrored_strategy():
    model, x, y = regression(paper_sgd())
    expected = fit(model, x, y)
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(
        cpus[:2], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model, x, y = regression(paper_sgd())
        model.optimizer.momentum = MOMENTUM
    for w, e in zip(fit(model, x, y), expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-5, atol=1e-6)


def test_training_goes_on_from_saved_optimizer_variables():
    model, x, y = regression(paper_sgd())
    fit(model, x, y, 1)
    model.optimizer.momentum = 0.25
    state = values(model.variables), values(model.optimizer.variables)
    expected = fit(model, x, y)

    other, x, y = regression(paper_sgd())
    other.optimizer.build(other.trainable_variables)
    for variables, saved in zip((other.variables, other.optimizer.variables), state, strict=True):
        for v, value in zip(variables, saved, strict=True):
            v.assign(value)
    assert float(other.optimizer.momentum) == 0.25
    for w, e in zip(fit(other, x, y), expected, strict=True):
        np.testing.assert_array_equal(w, e)


# Keras 3.15 converts its variables in a way that NumPy 2.4 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_model_trains_on_alike(tmp_path):
    model, x, y = regression(paper_sgd())
    fit(model, x, y, 1)
    model.optimizer.momentum = 0.25
    model.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(other.optimizer, PaperSGD)
    for w, e in zip(fit(other, x, y), fit(model, x, y), strict=True):
        np.testing.assert_array_equal(w, e)


@pytest.mark.parametrize("which", [0, -1])
def test_a_slot_is_on_its_weights_device(which):
    # Says nothing with one device; Keras' own slots fail it with two.
    device = tf.config.list_logical_devices("CPU")[which].name
    with tf.device(device):
        model, x, y = regression(PaperSGD(RATE))
    fit(model, x, y, 1)
    assert {v.value.device for v in model.trainable_variables} == {
        v.value.device for v in model.optimizer.velocities
    }


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
def test_on_jax():
    script = """
import keras, jax, numpy as np
from tfcnns.training.paper_sgd import PaperSGD

layer = keras.layers.Dense(2, name="conv1")
layer.build((None, 3))
optimizer = PaperSGD(0.125, 0.875, 0.0625, multipliers={"conv1/kernel": 0.5})
optimizer.build([layer.kernel])
w = layer.kernel.numpy()
v, (weight,), state = 0.0, [layer.kernel.value], [x.value for x in optimizer.variables]
for step in range(4):
    g = np.random.default_rng(step).normal(size=(3, 2)).astype("float32")
    (weight,), state = jax.jit(optimizer.stateless_apply)(state, [g], [weight])
    v = 0.875 * v - 0.0625 * (g + 0.0625 * w)
    w = w + v
np.testing.assert_allclose(weight, w, rtol=1e-5, atol=1e-6)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
