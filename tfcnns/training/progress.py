"""Keras' progress bar, told where a resumed epoch really stands."""

import contextlib
import os
import re
import sys

import keras


class Progress(keras.callbacks.ProgbarLogger):
    """A progress bar over whole epochs, also for the rest of one; plain if NO_COLOR is set.

    Args:
        epochs: epochs of the whole training.
        steps: steps of a whole epoch.
        done: steps of the first epoch that an earlier process has done.
    """

    def __init__(self, epochs, steps, done=0):
        super().__init__()
        self._whole = {"epochs": epochs, "steps": steps}
        self._done = done

    def set_params(self, params):
        super().set_params({**params, **self._whole})

    def on_train_batch_end(self, batch, logs=None):
        with _as_asked():
            super().on_train_batch_end(batch + self._done, logs)

    def on_epoch_end(self, epoch, logs=None):
        with _as_asked():
            super().on_epoch_end(epoch, logs)
        self._done = 0


def _as_asked():
    """Keras colours what it prints; https://no-color.org is a way to ask for none."""
    if not os.environ.get("NO_COLOR"):
        return contextlib.nullcontext()
    return contextlib.redirect_stdout(_Plain(sys.stdout))


class _Plain:
    """A text stream without the terminal's codes for colours and bold type."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        return self._stream.write(re.sub(r"\x1b\[[0-9;]*m", "", text))
