"""Learning rates and momentum of the papers, as pure functions of the epoch or the update.

By epoch: `stepped` and `linear_decay` make functions for Keras' LearningRateScheduler, and
`MomentumRamp` is a callback. By update: `DecayPerUpdate` and `StepPerUpdate` are schedules to
give to an optimiser, and `WarmUp` is a callback. None but `WarmUp`, which keeps cuts that others
made, has a state of its own, so a resumed run needs nothing restored.
"""

import math

import keras
from keras import ops

from tfcnns.layers.hyperparameters import real, whole


def stepped(initial, epochs, factor):
    """A learning rate multiplied by `factor` at each of `epochs`.

    Args:
        initial: rate of the first epoch.
        epochs: after how many epochs it changes: (30, 50) changes it for epochs 31 and 51.
        factor: 0.5 for OverFeat, 0.1 for the logs of AlexNet's 2012 code.

    Returns:
        Function of Keras' epoch (from 0), for `keras.callbacks.LearningRateScheduler`.

    Example:
        >>> overfeat = stepped(0.05, (30, 50, 60, 70, 80), 0.5)
        >>> overfeat(29), overfeat(30)
        (0.05, 0.025)
    """

    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in epochs):
        raise ValueError(f"Expected whole numbers of epochs. Received: epochs={epochs}")

    def rate(epoch, _=None):
        return initial * factor ** sum(epoch >= change for change in epochs)

    return rate


def linear_decay(initial, factor, saturate, start=1):
    """pylearn2's LinearDecayOverEpoch, of maxout's CIFAR and SVHN nets.

    With n the epoch counted from 1, and s = initial (1 - factor) / (saturate - start + 1):

        initial                         for n < start
        initial - s (n - start + 1)     for start <= n < saturate
        initial * factor                from n = saturate on

    Epoch `start` itself is one step lower already, as there.

    Args:
        initial: rate before it starts to fall.
        factor: the last rate as a fraction of `initial`.
        saturate, start: epochs, counted from 1.

    Returns:
        Function of Keras' epoch (from 0), for `keras.callbacks.LearningRateScheduler`.

    Raises:
        ValueError: `saturate` isn't after `start`.
    """
    if saturate <= start:
        raise ValueError(
            f"Expected saturate after start. Received: start={start}, saturate={saturate}"
        )
    step = initial * (1 - factor) / (saturate - start + 1)

    def rate(epoch, _=None):
        n = epoch + 1
        if n < start:
            return initial
        return initial * factor if n >= saturate else initial - step * (n - start + 1)

    return rate


class MomentumRamp(keras.callbacks.Callback):
    """pylearn2's MomentumAdjustor: momentum that changes linearly with the epochs.

    With n the epoch counted from 1, and a = (n - start) / (saturate - start), kept in [0, 1]:

        m = (1 - a) initial + a final

    Args:
        initial: momentum up to epoch `start`. Given here, not read from the optimiser, so
            that a resumed run ramps from the same value.
        final: momentum from epoch `saturate` on.
        saturate, start: epochs, counted from 1; equal: a jump.

    Raises:
        ValueError: `saturate` is before `start`, or a momentum not in [0, 1).
        TypeError: when training begins, if the optimiser's momentum isn't a variable.
            Setting that of `keras.optimizers.SGD` would change nothing in a compiled step.

    Example:
        >>> model.compile(PaperSGD(0.17, momentum=0.5), ...)
        >>> model.fit(..., callbacks=[MomentumRamp(0.5, 0.6, saturate=250)])
    """

    def __init__(self, initial, final, saturate, start=1):
        super().__init__()
        if saturate < start:
            raise ValueError(
                f"Expected saturate from start on. Received: start={start}, saturate={saturate}"
            )
        if not (0 <= initial < 1 and 0 <= final < 1):
            raise ValueError(
                f"Expected momentum from 0 to below 1. Received: initial={initial}, final={final}"
            )
        self.initial = initial
        self.final = final
        self.saturate = saturate
        self.start = start

    def momentum(self, epoch):
        """The momentum of Keras' epoch `epoch`, counted from 0."""
        n = epoch + 1
        if self.saturate == self.start:
            return self.final if n >= self.start else self.initial
        a = min(max((n - self.start) / (self.saturate - self.start), 0.0), 1.0)
        return (1 - a) * self.initial + a * self.final

    def on_train_begin(self, logs=None):
        if not isinstance(getattr(self._optimizer, "momentum", None), keras.Variable):
            raise TypeError(
                "Expected an optimizer whose momentum is a variable, such as PaperSGD. "
                f"Received: {type(self._optimizer).__name__}"
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._optimizer.momentum = self.momentum(epoch)

    @property
    def _optimizer(self):
        # Under mixed_float16 a LossScaleOptimizer stands around the one with the momentum.
        optimizer = self.model.optimizer
        return getattr(optimizer, "inner_optimizer", optimizer)


class WarmUp(keras.callbacks.Callback):
    """A learning rate that rises linearly over the first updates (Goyal et al. 2017, section 2.2).

    Update t, counted from 0, is made at start + (rate - start) t / updates, and `rate` is set for
    good at t = updates. A callback, so that others may set the rate afterwards, epoch by epoch
    (`stepped`, `DivideOnPlateau`). Give it after them. What they set at an epoch's beginning, while
    the rate rises, is overruled; by what they multiply it at an epoch's end, as a cut on a plateau
    does, the rest of the rise and the rate that it ends at are multiplied too.

    Args:
        rate: learning rate that it ends at.
        updates: how many it takes; 0: none. Goyal et al. take 5 epochs.
        start: rate of the first; they start at that of a small batch.

    Raises:
        ValueError: `updates` below 0.
        TypeError: when training begins, if a schedule sets the optimiser's learning rate.

    Example:
        >>> model.fit(..., callbacks=[WarmUp(10.0, 5 * steps_per_epoch)])
    """

    def __init__(self, rate, updates, start=0.0):
        super().__init__()
        if updates < 0:
            raise ValueError(f"Expected updates >= 0. Received: updates={updates}")
        self.rate = rate
        self.updates = updates
        self.start = start
        self.factor = 1.0  # of the cuts so far
        self._rising = False

    def at(self, update):
        """The rate of an update in the rise, counted from 0, without cuts."""
        return self.start + (self.rate - self.start) * update / self.updates

    def on_train_begin(self, logs=None):
        # Raises now, if the rate can't be set. Not float(...), which mirrored variables refuse.
        self.model.optimizer.learning_rate = self.model.optimizer.learning_rate.numpy()
        self._rising = self.updates > 0

    def on_epoch_begin(self, epoch, logs=None):
        self._set()  # so that the rate which an epoch begins with can be logged

    def on_train_batch_begin(self, batch, logs=None):
        self._set()

    def on_epoch_end(self, epoch, logs=None):
        if self._rising and self._last:
            self.factor *= float(self.model.optimizer.learning_rate.numpy()) / self._last

    def get_state(self):
        return {"factor": self.factor}

    def set_state(self, state):
        self.factor = state["factor"]

    def _set(self):
        if not self._rising:
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # or JAX' fit would neither show nor see variables
        update = int(self.model.optimizer.iterations.numpy())
        self._rising = update < self.updates
        if update <= self.updates:
            self.model.optimizer.learning_rate = self.at(update) * self.factor
            self._last = float(self.model.optimizer.learning_rate.numpy())


@keras.saving.register_keras_serializable(package="tfcnns")
class DecayPerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """pylearn2's ExponentialDecay, of maxout's MNIST nets: max(initial / factor^t, floor).

    Args:
        initial: rate of the first update, t = 0.
        factor: what the rate is divided by after each update, above 1.
        floor: the rate never falls below it.

    Raises:
        ValueError: `factor` not above 1.

    Example:
        >>> PaperSGD(DecayPerUpdate(0.1, 1.000004, floor=1e-6), momentum=0.5)
    """

    def __init__(self, initial, factor, floor=0.0):
        self.initial = real("initial", initial)
        self.factor = real("factor", factor, above=1)
        self.floor = real("floor", floor)

    def __call__(self, step):
        # Not a power: float32 has 1.000004 only to 1 % of what it is above 1.
        log_factor = math.log(self.factor)
        decayed = self.initial * ops.exp(-log_factor * ops.cast(step, "float32"))
        return ops.maximum(decayed, self.floor)

    def get_config(self):
        return {"initial": self.initial, "factor": self.factor, "floor": self.floor}


@keras.saving.register_keras_serializable(package="tfcnns")
class StepPerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """Caffe's "step" policy, of the NIN nets in its model zoo: initial * factor^floor(t / every).

    Args:
        initial: rate of the first `every` updates.
        every: updates between changes.
        factor: what the rate is multiplied by at each.

    Raises:
        ValueError: `every` below 1.
    """

    def __init__(self, initial, every, factor=0.1):
        self.initial = real("initial", initial)
        self.every = whole("every", every)
        self.factor = real("factor", factor)

    def __call__(self, step):
        changes = ops.cast(ops.floor_divide(step, self.every), "float32")
        return self.initial * ops.power(self.factor, changes)

    def get_config(self):
        return {"initial": self.initial, "every": self.every, "factor": self.factor}
