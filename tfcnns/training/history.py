"""history.csv: one row per finished epoch, exact across stops and resumes."""

import csv
import io
import time

import keras

from tfcnns.files import write_whole


class History(keras.callbacks.Callback):
    """Writes epoch, every logged value, learning rate and seconds to a CSV file.

    The whole file is written anew each epoch, so that rows of epochs which a killed process
    had finished, but whose state was lost, are not there twice after a resume.

    `learning_rate` is the one that an epoch began with, `seconds` the time spent on it by all
    processes that worked on it.

    Args:
        file: path of the CSV file; None writes nothing.
    """

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.rows = []
        self._rate = None  # of the running epoch, kept over a resume
        self._spent = 0.0  # seconds spent on the running epoch by earlier processes
        self._start = None

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.monotonic()
        if self._rate is None:
            self._rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        row["learning_rate"] = self._rate
        row["seconds"] = round(self._seconds(), 3)
        self.rows.append(row)
        self._rate, self._spent, self._start = None, 0.0, None
        self.write()

    def get_state(self):
        return {"rows": self.rows, "rate": self._rate, "seconds": self._seconds()}

    def set_state(self, state):
        self.rows, self._rate, self._spent = state["rows"], state["rate"], state["seconds"]

    def write(self):
        if self.file is None:
            return
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(self.file, text.getvalue().encode())

    def _seconds(self):
        return self._spent + (time.monotonic() - self._start if self._start else 0.0)
