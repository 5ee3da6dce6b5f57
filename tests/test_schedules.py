"""The schedules against pylearn2's counters, Caffe's formula and the authors' own numbers."""

import json
import math

import keras
import numpy as np
import pytest

from tfcnns.training.history import History
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import (
    DecayPerUpdate,
    MomentumRamp,
    StepPerUpdate,
    WarmUp,
    linear_decay,
    stepped,
)
from tfcnns.training.watching import DivideOnPlateau


def test_overfeats_rates():
    rate = stepped(0.05, (30, 50, 60, 70, 80), 0.5)
    changes = {e: rate(e) for e in range(100) if e == 0 or rate(e) != rate(e - 1)}
    assert changes == {
        0: 0.05,
        30: 0.025,
        50: 0.0125,
        60: 0.00625,
        70: 0.003125,
        80: 0.0015625,
    }


def pylearn2_linear_decay(initial, factor, saturate, start, epochs):
    """Its extension counts before the first epoch already, and sets the rate from the count."""
    step = (initial - initial * factor) / (saturate - start + 1)
    rates = []
    for count in range(1, epochs + 1):
        if count < start:
            rates.append(initial)
        elif count < saturate:
            rates.append(initial - step * (count - start + 1))
        else:
            rates.append(initial * factor)
    return rates


@pytest.mark.parametrize("start", [1, 4])
def test_linear_decay_is_pylearn2s(start):
    rate = linear_decay(0.17, 0.01, saturate=20, start=start)
    expected = pylearn2_linear_decay(0.17, 0.01, 20, start, 30)
    np.testing.assert_allclose([rate(e) for e in range(30)], expected, rtol=1e-12)


def test_maxouts_cifar10_rates():
    rate = linear_decay(0.17, 0.01, saturate=500)
    step = 0.17 * 0.99 / 500
    assert rate(0) == pytest.approx(0.17 - step)  # the first epoch is a step lower already
    assert rate(249) == pytest.approx(0.17 - 250 * step)
    assert rate(498) == pytest.approx(0.0017 + step)
    assert rate(499) == rate(784) == pytest.approx(0.0017)


def test_momentum_ramp_is_pylearn2s():
    ramp = MomentumRamp(0.5, 0.7, saturate=9, start=3)
    expected = [0.5, 0.5, 0.5, *(0.5 + 0.2 * k / 6 for k in range(1, 7)), 0.7, 0.7]
    np.testing.assert_allclose([ramp.momentum(e) for e in range(11)], expected, rtol=1e-12)
    jump = MomentumRamp(0.5, 0.7, saturate=3, start=3)
    assert [jump.momentum(e) for e in range(4)] == [0.5, 0.5, 0.7, 0.7]


def test_rate_and_momentum_that_maxouts_authors_went_on_with_on_mnist():
    # mnist_pi_continued.yaml has what 243 epochs of 500 updates had come to, in float32.
    rate = DecayPerUpdate(0.1, 1.000004, floor=1e-6)
    assert float(rate(243 * 500)) == pytest.approx(0.0615082606673, rel=1e-6)
    momentum = MomentumRamp(0.5, 0.7, saturate=250).momentum(242)
    assert momentum == pytest.approx(0.694376766682, rel=2e-6)


@pytest.mark.parametrize("factor", [1.000004, 1.00004])
def test_decay_per_update_follows_repeated_division(factor):
    schedule = DecayPerUpdate(0.1, factor, floor=1e-6)
    for t in [0, 1, 2, 1000, 50_000, 1_000_000]:
        expected = max(0.1 / math.pow(factor, t), 1e-6)
        # The exponent, up to 40, is rounded in float32.
        assert float(schedule(t)) == pytest.approx(expected, rel=5e-6)
    assert float(schedule(10_000_000)) == np.float32(1e-6)


def test_step_per_update_is_caffes():
    schedule = StepPerUpdate(0.1, every=100_000)  # NIN on CIFAR-10
    for t in [0, 1, 99_999, 100_000, 119_999, 200_000]:
        assert float(schedule(t)) == pytest.approx(0.1 * 0.1 ** (t // 100_000), rel=1e-6)


@pytest.mark.parametrize(
    "schedule", [DecayPerUpdate(0.1, 1.5, floor=0.01), StepPerUpdate(0.1, 3, 0.25)]
)
def test_schedules_in_an_optimizer(schedule):
    config = json.loads(json.dumps(keras.optimizers.serialize(PaperSGD(schedule, 0.0))))
    optimizer = keras.optimizers.deserialize(config)
    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 1))
    w = layer.kernel.numpy()
    for t in range(8):
        assert float(optimizer.learning_rate) == pytest.approx(float(schedule(t)))
        optimizer.apply([keras.ops.ones((1, 1))], [layer.kernel])
        w = w - float(schedule(t))
        np.testing.assert_allclose(layer.kernel.numpy(), w, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_decay(0.1, 0.01, saturate=3, start=3), "Received: start=3, saturate=3"),
        (lambda: MomentumRamp(0.5, 0.7, saturate=2, start=3), "Received: start=3, saturate=2"),
        (lambda: DecayPerUpdate(0.1, 0.99), "Received: factor=0.99"),
        (lambda: StepPerUpdate(0.1, 0), "Received: every=0"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def constant_gradient(optimizer, **arguments):
    """A weight whose gradient is 1 in every step."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, loss=lambda y, prediction: prediction, **arguments)
    return model


def fit(model, callbacks, first, last):
    x = np.ones((4, 1), "float32")
    model.fit(x, x, batch_size=2, initial_epoch=first, epochs=last, callbacks=callbacks, verbose=0)
    return float(model.trainable_variables[0].numpy().item())


def maxouts_callbacks():
    return [
        keras.callbacks.LearningRateScheduler(linear_decay(0.5, 0.1, saturate=4)),
        MomentumRamp(0.5, 0.75, saturate=3),
    ]


# Keras 3.15 converts its variables in a way that NumPy 2.4 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_rate_and_momentum_change_in_fit_and_after_a_resume():
    model = constant_gradient(PaperSGD(0.5, momentum=0.5))
    w, v = float(model.trainable_variables[0].numpy().item()), 0.0
    rate, ramp = linear_decay(0.5, 0.1, saturate=4), MomentumRamp(0.5, 0.75, saturate=3)
    for epoch in range(6):
        for _ in range(2):
            v = ramp.momentum(epoch) * v - rate(epoch)
            w = w + v
    fit(model, maxouts_callbacks(), 0, 2)
    resumed = constant_gradient(PaperSGD(0.5, momentum=0.5))
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.set_weights(model.get_weights())
    for new, old in zip(resumed.optimizer.variables, model.optimizer.variables, strict=True):
        new.assign(old)
    assert fit(resumed, maxouts_callbacks(), 2, 6) == pytest.approx(w, rel=1e-5)


def test_momentum_ramp_reaches_through_loss_scaling():
    optimizer = keras.optimizers.LossScaleOptimizer(PaperSGD(0.5, momentum=0.5))
    model = constant_gradient(optimizer)
    fit(model, [MomentumRamp(0.5, 0.75, saturate=3)], 0, 2)
    assert float(optimizer.inner_optimizer.momentum) == 0.625


def test_momentum_ramp_refuses_an_optimizer_where_it_would_do_nothing():
    model = constant_gradient(keras.optimizers.SGD(0.5, momentum=0.5))
    with pytest.raises(TypeError, match=r"such as PaperSGD\. Received: SGD"):
        fit(model, [MomentumRamp(0.5, 0.75, saturate=3)], 0, 1)


class Rates(keras.callbacks.Callback):
    """The rate of each update."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.optimizer.learning_rate.numpy()))


def test_warm_up_rises_linearly_and_leaves_the_rate_to_others():
    model, rates = constant_gradient(PaperSGD(0.5, 0.0)), Rates()
    cuts = keras.callbacks.LearningRateScheduler(stepped(0.5, (3,), 0.5))
    fit(model, [cuts, WarmUp(0.5, 4, start=0.1), rates], 0, 4)  # epochs of two updates
    np.testing.assert_allclose(rates.seen, [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.25, 0.25], rtol=1e-6)
    alone, history = (constant_gradient(PaperSGD(0.25, 0.0)), Rates()), History(None)
    fit(alone[0], [WarmUp(0.5, 3), alone[1], history], 0, 3)
    np.testing.assert_allclose(alone[1].seen, [0, 1 / 6, 1 / 3, 0.5, 0.5, 0.5], rtol=1e-6)
    assert [round(row["learning_rate"], 6) for row in history.rows] == [0, 0.333333, 0.5]


class Stall(DivideOnPlateau):
    """One that stalls at the end of the given epochs."""

    def __init__(self, *epochs):
        super().__init__(factor=2.0)
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if epoch in self.epochs:
            self._on_stall()


def test_a_cut_while_the_rate_rises_holds():
    model, rates = constant_gradient(PaperSGD(1.0, 0.0)), Rates()
    stall, warm_up = Stall(0, 1, 3), WarmUp(1.0, 5)
    fit(model, [stall, warm_up, rates], 0, 2)  # epochs of two updates
    resumed = WarmUp(1.0, 5)
    resumed.set_state(json.loads(json.dumps(warm_up.get_state())))
    fit(model, [stall, resumed, rates], 2, 5)
    assert stall.cuts_made == 3
    expected = [0, 0.2, 0.4 / 2, 0.6 / 2, 0.8 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 8, 1 / 8]
    np.testing.assert_allclose(rates.seen, expected, rtol=1e-6)


@pytest.mark.parametrize("scaling", [False, True])
def test_warm_up_goes_on_where_it_was(scaling):
    """The same callback in a second `fit`, which counts its batches from 0 again."""
    optimizer = PaperSGD(0.5, 0.0)
    if scaling:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)
    model, rates, warm_up = constant_gradient(optimizer), Rates(), WarmUp(1.0, 5)
    for epoch in range(4):
        fit(model, [warm_up, rates], epoch, epoch + 1)
    np.testing.assert_allclose(rates.seen, [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1], rtol=1e-6)


def test_warm_up_of_no_updates_changes_nothing():
    model, rates = constant_gradient(PaperSGD(0.5, 0.0)), Rates()
    fit(model, [WarmUp(1.0, 0), rates], 0, 1)
    assert rates.seen == [0.5, 0.5]


def test_warm_up_refuses():
    with pytest.raises(ValueError, match=r"updates >= 0\. Received: updates=-1"):
        WarmUp(1.0, -1)
    model = constant_gradient(PaperSGD(StepPerUpdate(0.1, 2)))
    with pytest.raises(TypeError, match="learning_rate"):
        fit(model, [WarmUp(1.0, 2)], 0, 1)
