"""The callback that saves whole states while training, and when it is asked to stop."""

import math
import signal
import threading
import time

import keras

from tfcnns.errors import UserError
from tfcnns.training import checkpoints
from tfcnns.training.crew import Crew
from tfcnns.training.watching import is_better
from tfcnns.training.weights import save_weights

_AGREE_EVERY = 8  # steps; several workers have to save, and stop, after the same one


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):  # noqa: N818  not an error: it was asked for
    """Training was asked to stop, by the signal `number`, and its state is saved."""

    def __init__(self, step, number):
        super().__init__(f"stopped after step {step}")
        self.number = number


class Checkpointing(keras.callbacks.Callback):
    """Saves at each epoch's end, every so many steps or minutes, and on Ctrl-C or SIGTERM.

    Stands last in the list of callbacks, so that it saves what the others have done.

    Args:
        run: the `Run`; gets checkpoints/ and best.weights.h5 from the chief. None for others.
        steps_per_epoch: steps of a whole epoch.
        others: the other callbacks; those with `get_state()` and `set_state(dict)` are saved.
        monitor: logged value that decides which epoch is the best; smaller is better unless
            its name holds "accuracy".
        every_steps: save after this many steps; None: only at the end of epochs.
        every_minutes: likewise by the clock.
        checkpoint: path of the one to go on from, or None. Its model and optimiser must be
            restored already; the metrics of the epoch it stands in are restored here, as
            Keras resets them when that epoch begins, and so are the seeds of losses, which may
            have been asked meanwhile.
        crew: the `Crew` that trains.
    """

    def __init__(
        self,
        run,
        steps_per_epoch,
        *,
        others=(),
        monitor="val_loss",
        every_steps=None,
        every_minutes=None,
        checkpoint=None,
        crew=None,
    ):
        super().__init__()
        self.run = run
        self.crew = crew or Crew()
        self.steps_per_epoch = steps_per_epoch
        self.others = [c for c in others if hasattr(c, "get_state") and hasattr(c, "set_state")]
        self.monitor = monitor
        self.every_steps = every_steps
        self.every_minutes = every_minutes
        self.best = None
        self.epoch = 0
        self.epoch_step = 0
        self._offset = 0
        self._asked = None
        self._saved_at = time.monotonic()
        self._checkpoint = checkpoint
        if checkpoint is not None:
            state = checkpoints.read_state(checkpoint)
            self.best = state["best"]
            self.epoch = state["epoch"]
            self.epoch_step = self._offset = state["epoch_step"]
            names = [type(callback).__name__ for callback in self.others]
            if [name for name, _ in state["callbacks"]] != names:
                raise UserError(f"{checkpoint} doesn't fit: the recipe has other callbacks now")
            for callback, (_, its) in zip(self.others, state["callbacks"], strict=True):
                callback.set_state(its)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self._offset:
            checkpoints.restore(self._checkpoint, self.model, only=("metrics", "seeds"))
        self.epoch_step = self._offset

    def on_train_batch_end(self, batch, logs=None):
        self.epoch_step = self._offset + batch + 1
        if self.epoch_step == self.steps_per_epoch:
            return  # the epoch's end saves, with the validation in it
        minutes = (time.monotonic() - self._saved_at) / 60
        late = bool(self.every_minutes and minutes >= self.every_minutes)
        asked = self._asked_for
        if self.crew.cluster.workers > 1:
            agree = self._step % _AGREE_EVERY == 0
            late, *asked = self.crew.any([late, *asked]) if agree else [False] * 3
        if late or any(asked) or (self.every_steps and self._step % self.every_steps == 0):
            self._save()
        self._stop_if(asked)

    def on_epoch_end(self, epoch, logs=None):
        self._keep_if_best(logs)
        self.epoch, self.epoch_step, self._offset = epoch + 1, 0, 0
        self._save()
        self._stop_if(self.crew.any(self._asked_for))

    def listen(self):
        """Makes Ctrl-C and SIGTERM save and stop; a second Ctrl-C stops at once.

        Returns a function that gives the signals back to whom they belonged.
        """
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        before = {}

        def ask(number, frame):
            if self._asked == number:
                signal.signal(number, before[number])
                signal.raise_signal(number)
            self._asked = number

        for number in _SIGNALS:
            before[number] = signal.signal(number, ask)
        return lambda: [signal.signal(number, handler) for number, handler in before.items()]

    @property
    def _asked_for(self):
        """For each of `_SIGNALS`, whether this process got it."""
        return [self._asked == number for number in _SIGNALS]

    @property
    def _step(self):
        return self.epoch * self.steps_per_epoch + self.epoch_step

    def _keep_if_best(self, logs):
        value = float((logs or {}).get(self.monitor, math.nan))
        if not is_better(self.monitor, value, self.best):
            return
        self.best = value
        if not self.crew.is_chief:
            return
        save_weights(self.model, self.run.path / "best.weights.h5")

    def _save(self):
        state = {
            "step": self._step,
            "epoch": self.epoch,
            "epoch_step": self.epoch_step,
            "best": self.best,
            "callbacks": [(type(c).__name__, c.get_state()) for c in self.others],
            "shapes": checkpoints.shapes(self.model),
        }
        checkpoints.save(self.run.checkpoints if self.crew.is_chief else None, self.model, state)
        self._saved_at = time.monotonic()

    def _stop_if(self, asked):
        if any(asked):
            raise Stopped(self._step, _SIGNALS[asked.index(True)])
