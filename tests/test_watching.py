"""Callbacks that watch a value, fed with literal values and compared with pylearn2's loops."""

import json
import math
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import DecayPerUpdate
from tfcnns.training.watching import (
    DivideOnPlateau,
    StopWhenMatched,
    StopWhenStalled,
    is_better,
)


def attach(callback, learning_rate=1.0):
    """The callback with a model of nothing but an optimiser; training has begun."""
    model = types.SimpleNamespace(optimizer=PaperSGD(learning_rate), stop_training=False)
    callback.set_model(model)
    callback.on_train_begin()
    return callback


def feed(callback, values, name="val_loss"):
    """The learning rate after each epoch, up to the one that ends the training."""
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {name: value, "loss": 0.0})
        rates.append(float(callback.model.optimizer.learning_rate))
        if callback.model.stop_training:
            break
    return rates


def test_better_is_smaller_or_for_accuracies_larger():
    assert is_better("val_loss", 1.0, None)
    assert is_better("val_loss", 1.0, 2.0)
    assert not is_better("val_loss", 2.0, 2.0)
    assert is_better("val_accuracy", 2.0, 1.0)
    assert not is_better("val_accuracy", math.nan, None)


def test_divides_when_patience_epochs_brought_no_best():
    callback = attach(DivideOnPlateau(factor=2.0, patience=2))
    values = [5, 4, 4, 4, 3, 5, 5, 5, 5, math.nan]
    assert feed(callback, values) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_cuts_at_most_so_often_and_then_may_stop():
    values = [1.0] * 20
    callback = attach(DivideOnPlateau(factor=2.0, patience=2, cuts=2))
    assert feed(callback, values) == [1, 1, 0.5, 0.5] + [0.25] * 16
    assert not callback.finished
    callback = attach(DivideOnPlateau(factor=2.0, patience=2, cuts=2, stop=True))
    assert feed(callback, values) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert callback.finished


def test_alexnets_three_cuts_by_ten():
    callback = attach(DivideOnPlateau("val_accuracy", patience=1, cuts=3), 0.01)
    rates = feed(callback, [0.5] * 6, "val_accuracy")
    np.testing.assert_allclose(rates, [1e-2, 1e-3, 1e-4, 1e-5, 1e-5, 1e-5], rtol=1e-6)


def test_a_rate_that_a_schedule_sets_is_refused_before_training():
    callback = DivideOnPlateau()
    optimizer = PaperSGD(DecayPerUpdate(0.1, 1.1))
    callback.set_model(types.SimpleNamespace(optimizer=optimizer))
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        callback.on_train_begin()


def pylearn2_monitor_based(values, n):
    """Epochs that MonitorBased(prop_decrease=0, N=n) trains for."""
    countdown, best = n, np.inf
    for epoch, value in enumerate(values, start=1):
        countdown = n if value < (1.0 - 0.0) * best else countdown - 1
        best = min(best, value)
        if not countdown > 0:
            return epoch
    return len(values)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [1, 3, 10])
def test_stop_when_stalled_is_pylearn2s(seed, n):
    values = np.random.default_rng(seed).integers(0, 50, 100).tolist()
    callback = attach(StopWhenStalled(patience=n))
    assert len(feed(callback, values)) == pylearn2_monitor_based(values, n)
    assert callback.finished


def test_stop_when_matched_stops_at_the_target_or_below():
    assert len(feed(attach(StopWhenMatched(0.5)), [0.9, math.nan, 0.6, 0.5, 0.4])) == 4
    assert len(feed(attach(StopWhenMatched(0.55)), [0.9, 0.6, 0.5, 0.4])) == 3
    callback = attach(StopWhenMatched(0.1))
    assert len(feed(callback, [0.9, 0.6])) == 2
    assert not callback.finished


@pytest.mark.parametrize(
    "make",
    [
        lambda: DivideOnPlateau(factor=2.0, patience=3, cuts=3, stop=True),
        lambda: StopWhenStalled(patience=11),
        lambda: StopWhenMatched(1.0),
    ],
)
@pytest.mark.parametrize("stop", [1, 4, 9, 15])
def test_a_resumed_callback_goes_on_alike(make, stop):
    values = np.random.default_rng(1).integers(1, 50, 60).astype(float).tolist()
    whole = attach(make())
    expected = feed(whole, values)

    first = attach(make())
    rates = feed(first, values[:stop])
    second = make()
    second.set_state(json.loads(json.dumps(first.get_state())))
    attach(second, rates[-1])  # the optimiser's variables are restored by others
    if not second.finished:
        rates += feed(second, values[stop:])
    assert rates == expected
    assert second.get_state() == whole.get_state()


@pytest.mark.parametrize("make", [DivideOnPlateau, StopWhenStalled, lambda: StopWhenMatched(1.0)])
def test_a_value_that_isnt_logged_is_named(make):
    with pytest.raises(ValueError, match=r"logged \['acc', 'loss'\]. Received: monitor='val_lo"):
        attach(make()).on_epoch_end(0, {"loss": 1.0, "acc": 0.5})


@pytest.mark.parametrize("make", [DivideOnPlateau, StopWhenStalled])
def test_patience_is_an_epoch_at_least(make):
    with pytest.raises(ValueError, match="Received: patience=0"):
        make(patience=0)


def test_in_fit_the_count_goes_on_over_calls_of_fit():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(PaperSGD(0.0, momentum=0.0), "mse")  # at rate 0 nothing improves
    x = np.ones((4, 1), "float32")
    callback = StopWhenStalled("loss", patience=3)
    first = model.fit(x, x, epochs=2, callbacks=[callback], verbose=0)
    assert not callback.finished
    second = model.fit(x, x, initial_epoch=2, epochs=9, callbacks=[callback], verbose=0)
    assert first.epoch + second.epoch == [0, 1, 2, 3]
    assert callback.finished


def test_divides_the_mirrored_rate_of_several_replicas():
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(
        cpus[:2], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(PaperSGD(0.5, multipliers={"kernel|bias": 0.0}), "mse")
    x = np.ones((4, 1), "float32")
    callback = DivideOnPlateau("loss", factor=4.0, patience=1, cuts=1)
    model.fit(x, x, epochs=3, callbacks=[callback], verbose=0)
    assert model.optimizer.learning_rate.numpy() == 0.125
