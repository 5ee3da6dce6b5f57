"""Gradients that replicas exchange in 16 bits: rounded as bfloat16 rounds, and nothing else."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scripts import call

from tfcnns import runs, train
from tfcnns.training import LARS, PaperSGD, make_strategy
from tfcnns.training.exchange import exchange_in

# Two replicas get a sample each. The loss w * x has the gradient x / 2 on either.
SAMPLES = np.array([[1.2345678, -3e-30, 7.7], [2.3456789, 5e-30, -1e30]], "float32")


def trained(dtype, optimizer):
    """Weights after one step from ones."""
    with make_strategy("mirrored").scope():
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
        )
        model.compile(optimizer(), lambda y, y_pred: y_pred)
    if dtype:
        exchange_in(model.optimizer, dtype)
    data = tf.data.Dataset.from_tensors((SAMPLES, np.zeros((2, 1), "float32")))
    model.fit(data, shuffle=False, verbose=0)
    return model.get_weights()[0][:, 0]


def bfloat16(x):
    """To the nearest number of 8 bits, to the even one if there are two."""
    bits = np.asarray(x, "float32").view("uint32")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype("uint32").view("float32")


def sgd():
    return keras.optimizers.SGD(0.5)


def test_gradients_and_their_sum_are_rounded():
    halves = bfloat16(SAMPLES / 2)
    expected = np.float32(1) - np.float32(0.5) * bfloat16(halves[0] + halves[1])
    np.testing.assert_array_equal(trained("bfloat16", sgd), expected)
    exact = np.float32(1) - np.float32(0.5) * (SAMPLES[0] / 2 + SAMPLES[1] / 2)
    np.testing.assert_array_equal(trained("float32", sgd), exact)
    assert (expected != exact)[[0, 2]].all()


@pytest.mark.parametrize("optimizer", [PaperSGD, LARS, keras.optimizers.Adam, sgd])
def test_weights_and_state_stay_in_float32(optimizer):
    def make():
        return optimizer() if optimizer is sgd else optimizer(0.1)

    rounded, whole = trained("bfloat16", make), trained(None, make)
    # Gradients are rounded by up to 2^-9 of themselves on each replica, and again as a sum.
    np.testing.assert_allclose(rounded - 1, whole - 1, rtol=2**-7, atol=1e-7)


def test_with_a_scaled_loss():
    def make():
        return keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=1024.0)

    np.testing.assert_array_equal(trained("bfloat16", make), trained("bfloat16", sgd))


def test_another_type_is_one_line():
    with pytest.raises(
        ValueError, match=r"Expected dtype float32 or bfloat16\. Received: dtype='in"
    ):
        exchange_in(sgd(), "int8")


FLAGS = ["--recipe=nin_digits", "--set=size=8", "--batch_size=150", "--epochs=1"]


def test_a_run_keeps_it(tmp_path):
    two = ["--strategy=mirrored", "--devices=/CPU:0,/CPU:1"]
    weights = {}
    for dtype in ("float32", "bfloat16"):
        out = tmp_path / dtype
        assert not call(train, *FLAGS, *two, f"--out={out}", f"--gradient_dtype={dtype}")
        run = runs.open_run(out)
        assert run.settings["flags"]["gradient_dtype"] == dtype
        weights[dtype] = np.concatenate([w.ravel() for w in run.load_model().get_weights()])
    moved = np.abs(weights["float32"] - weights["bfloat16"]).max()
    assert 0 < moved < 0.02  # of weights up to 1; eight steps


def test_alone_there_is_nothing_to_exchange(tmp_path, capsys):
    assert call(train, *FLAGS, f"--out={tmp_path}/run", "--gradient_dtype=bfloat16") == 2
    assert "error: --gradient_dtype is for replicas" in capsys.readouterr().err
