"""Keras' progress bar, told where a resumed epoch really stands."""

import keras


class Progress(keras.callbacks.ProgbarLogger):
    """A progress bar over whole epochs, also for the rest of one.

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
        super().on_train_batch_end(batch + self._done, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._done = 0
