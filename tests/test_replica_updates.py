"""Clipping, averages and overflows on replicas are those of the whole batch's gradient."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.training.accumulation import accumulate
from tfcnns.training.exchange import exchange_in
from tfcnns.training.lars import LARS
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.strategies import make_strategy

SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam


def trained(strategy, optimizer, passes=1):
    """Weights after three epochs of batches of 4 and 3 samples."""
    random = np.random.RandomState(0)
    x, y = random.uniform(size=(7, 5)).astype("float32"), random.randint(0, 3, 7)
    keras.utils.set_random_seed(1)
    with make_strategy(strategy).scope():
        model = keras.Sequential(
            [
                keras.Input((5,)),
                keras.layers.Dense(4, "tanh"),
                keras.layers.Dense(3, "softmax", dtype="float32"),
            ]
        )
        model.compile(optimizer(), "sparse_categorical_crossentropy")
    accumulate(model, passes)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    model.fit(dataset, epochs=3, shuffle=False, verbose=0)
    return np.concatenate([w.ravel() for w in model.get_weights()])


# Sums in another order: float32 roundings of weights of order one, in six steps. Adam divides by
# the size of gradients, small ones' rounding included.
@pytest.mark.parametrize(
    ("optimizer", "tolerance"),
    [
        (lambda: SGD(1.0, clipnorm=0.1), 1e-6),
        (lambda: SGD(1.0, clipvalue=0.05), 1e-6),
        (lambda: Adam(0.1, global_clipnorm=0.01), 1e-5),
        (lambda: PaperSGD(0.5, 0.9, 1e-3, global_clipnorm=0.2), 1e-6),
        (lambda: SGD(0.5, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2), 1e-6),
    ],
    ids=["clipnorm", "clipvalue", "global_clipnorm", "paper_sgd", "ema"],
)
def test_two_replicas_update_as_one(optimizer, tolerance):
    one, two = trained("one", optimizer), trained("mirrored", optimizer, passes=2)
    np.testing.assert_allclose(two, one, rtol=0, atol=tolerance)


@pytest.mark.parametrize("gradient_dtype", ["float32", "bfloat16"])
def test_a_clipped_step_is_as_long_as_asked(gradient_dtype):
    x = np.float32([[3, 0], [0, 1], [-1, 2], [5, 1]])
    with make_strategy("mirrored").scope():
        kernel = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((2,)), kernel])
        model.compile(SGD(1.0, clipnorm=0.01), "mse")
    exchange_in(model.optimizer, gradient_dtype)
    dataset = tf.data.Dataset.from_tensor_slices((x, x[:, :1] * 0)).batch(4)
    model.fit(dataset, shuffle=False, verbose=0)
    step = 1 - model.get_weights()[0]
    gradient = 2 * x.T @ x.sum(1, keepdims=True) / 4
    # float32 near 1 has steps of 6e-8; bfloat16 rounds the direction, not the length.
    tolerance = {"float32": 1.2e-7, "bfloat16": 0.01 * 2**-8}[gradient_dtype]
    expected = 0.01 * gradient / np.linalg.norm(gradient)
    np.testing.assert_allclose(step, expected, rtol=0, atol=tolerance)
    assert np.linalg.norm(step) == pytest.approx(0.01, abs=1.2e-7)


def test_clipping_under_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    one, two = (
        trained(strategy, lambda: SGD(1.0, clipnorm=0.1)) for strategy in ("one", "mirrored")
    )
    # float16 rounds each sample's gradient to 2^-11 of it, in another order; values of order one.
    np.testing.assert_allclose(two, one, rtol=0, atol=2e-3)


def test_accumulation_by_the_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"accumulate.*Received: gradient_accumulation_steps=2"):
        trained("mirrored", lambda: SGD(0.1, gradient_accumulation_steps=2))


OTHERS = {
    "lars": lambda: LARS(1.0, global_clipnorm=0.1),
    "ema": lambda: SGD(0.5, use_ema=True, ema_momentum=0.5),
    "scaled": lambda: SGD(1.0, clipnorm=0.1, loss_scale_factor=8.0),
    "decay": lambda: SGD(1.0, weight_decay=0.1, clipnorm=0.1),
    "adamw": lambda: keras.optimizers.AdamW(0.01),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, clipnorm=0.1),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "adadelta": lambda: keras.optimizers.Adadelta(0.01),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.01),
    "lamb": lambda: keras.optimizers.Lamb(0.01),
    "adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "muon": lambda: keras.optimizers.Muon(0.01),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_optimizers_do_too(name):
    one, two = trained("one", OTHERS[name]), trained("mirrored", OTHERS[name])
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)


FOUR = """
from tfcnns import cli
cli.start_tensorflow(0)
from tfcnns.training.strategies import make_cpus, make_strategy
make_cpus(["/CPU:3"])
assert make_strategy("mirrored").num_replicas_in_sync == 4
import keras, numpy as np, test_part_losses, test_replica_updates

whole = test_part_losses.trained(("one", 1))
for passes in (1, 2):
    weights, history = test_part_losses.trained(("mirrored", passes))
    np.testing.assert_allclose(weights, whole[0], rtol=0, atol=2e-6)
    for name, values in history.items():
        np.testing.assert_allclose(values, whole[1][name], rtol=5e-6, err_msg=name)
clipped = lambda: keras.optimizers.SGD(1.0, clipnorm=0.1)
one, four = (test_replica_updates.trained(strategy, clipped) for strategy in ("one", "mirrored"))
np.testing.assert_allclose(four, one, rtol=0, atol=1e-6)
"""


@pytest.mark.slow
def test_four_replicas_of_which_one_has_no_sample_at_times():
    tests = os.path.dirname(__file__)
    command = [sys.executable, "-c", FOUR]
    done = subprocess.run(command, cwd=tests, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
