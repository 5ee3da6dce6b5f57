"""Callbacks that act on a logged value: cut the learning rate, or end the training.

Their state (`get_state`, `set_state`: a JSON-able dict) outlives a stop and resume, and
several calls of `fit`. Those that end the training also set `finished`, which is part of the
state: `fit` forgets `stop_training` when it is called again, whoever calls it can ask here.

"Better" is smaller, or larger for a value with "accuracy" in its name; NaN is never better.
"""

import math

import keras


def is_better(monitor, value, best):
    """Whether `value` of the logged quantity `monitor` is better than `best` (None: no value)."""
    if math.isnan(value):
        return False
    return best is None or (value > best if "accuracy" in monitor else value < best)


class _Stalls(keras.callbacks.Callback):
    """Counts the epochs since `monitor` was last better than ever before."""

    _kept = ("best", "waited", "finished")

    def __init__(self, monitor, patience):
        super().__init__()
        if patience < 1:
            raise ValueError(f"Expected patience >= 1 epoch. Received: patience={patience}")
        self.monitor = monitor
        self.patience = patience
        self.best = None
        self.waited = 0
        self.finished = False

    def on_epoch_end(self, epoch, logs=None):
        value = _logged(self.monitor, logs)
        if is_better(self.monitor, value, self.best):
            self.best = value
            self.waited = 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self._on_stall()

    def get_state(self):
        return {name: getattr(self, name) for name in self._kept}

    def set_state(self, state):
        for name in self._kept:
            setattr(self, name, state[name])

    def _finish(self):
        self.finished = self.model.stop_training = True


class StopWhenStalled(_Stalls):
    """pylearn2's MonitorBased (prop_decrease 0): ends training after N epochs without a best.

    Args:
        monitor: logged value to watch; maxout's files watch the validation error.
        patience: N, in epochs; maxout's files have 100.

    Raises:
        ValueError: `patience` below 1, or (at an epoch's end) `monitor` isn't logged.
    """

    def __init__(self, monitor="val_loss", patience=100):
        super().__init__(monitor, patience)

    def _on_stall(self):
        self._finish()


class DivideOnPlateau(_Stalls):
    """Divides the learning rate when validation stalls (AlexNet, section 5; NIN, section 4.1).

    "Divide the learning rate by 10 when the validation error rate stopped improving": the
    authors did it by hand. Here it has stopped improving when `patience` epochs in a row
    brought no new best; the count then starts again, the best stays.

    Args:
        monitor: logged value to watch; "accuracy" is what NIN's authors watched.
        factor: what the rate is divided by.
        patience: epochs without a new best before a cut. The logs of the 2012 code have a
            cut every 25 epochs or so.
        cuts: how many there are at most (AlexNet 3, NIN 2); None: any number.
        stop: whether the stall after the last cut ends the training.

    Raises:
        ValueError: `patience` below 1, or (at an epoch's end) `monitor` isn't logged.
        TypeError: when training begins, if a schedule sets the optimiser's learning rate.

    Example:
        >>> model.compile(PaperSGD(0.01, 0.9, 5e-4), ...)
        >>> model.fit(..., callbacks=[DivideOnPlateau("val_accuracy", cuts=3, stop=True)])
    """

    _kept = (*_Stalls._kept, "cuts_made")

    def __init__(self, monitor="val_loss", factor=10.0, patience=5, cuts=None, stop=False):
        super().__init__(monitor, patience)
        self.factor = factor
        self.cuts = cuts
        self.stop = stop
        self.cuts_made = 0

    def on_train_begin(self, logs=None):
        self._divide_by(1.0)  # raises now, not at the first cut, if the rate can't be set

    def _on_stall(self):
        self.waited = 0
        if self.cuts is None or self.cuts_made < self.cuts:
            self._divide_by(self.factor)
            self.cuts_made += 1
        elif self.stop:
            self._finish()

    def _divide_by(self, factor):
        optimizer = self.model.optimizer
        # Not float(...), which mirrored variables refuse.
        optimizer.learning_rate = float(optimizer.learning_rate.numpy()) / factor


class StopWhenMatched(keras.callbacks.Callback):
    """pylearn2's MatchChannel: ends training once `monitor` is at `target` or below.

    Maxout's second stage (section 5.1) goes on with all the data until the objective on the
    validation set, which is now trained on, has come down to the objective that the training
    set had at the best epoch of the first stage. Take that target from `model.evaluate`: the
    "loss" of a `fit` is a mean over the epoch, with dropout in it, and lies higher.

    Args:
        target: value to reach.
        monitor: logged value that has to fall to it.

    Raises:
        ValueError: at an epoch's end, if `monitor` isn't logged.

    Example:
        >>> model.load_weights("stage1/best.weights.h5")
        >>> target = model.evaluate(first_50k, return_dict=True)["loss"]
        >>> model.fit(all_60k, validation_data=last_10k, callbacks=[StopWhenMatched(target)])
    """

    def __init__(self, target, monitor="val_loss"):
        super().__init__()
        self.target = target
        self.monitor = monitor
        self.finished = False

    def on_epoch_end(self, epoch, logs=None):
        if _logged(self.monitor, logs) <= self.target:
            self.finished = self.model.stop_training = True

    def get_state(self):
        return {"target": self.target, "finished": self.finished}

    def set_state(self, state):
        self.target = state["target"]
        self.finished = state["finished"]


def _logged(monitor, logs):
    if monitor not in (logs or {}):
        raise ValueError(
            f"Expected the monitored value among the logged {sorted(logs or {})}. "
            f"Received: monitor={monitor!r}"
        )
    return float(logs[monitor])
