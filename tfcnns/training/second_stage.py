"""Training a second time, after a first run has shown for how long (see `stages`).

A recipe with stages has "stage" and "from_run" in its config. `first_run` opens the run of
stage 1; `StartFrom` goes on from its weights; `StopAfter` ends after as many epochs as it took.
"""

import keras

from tfcnns import runs
from tfcnns.errors import UserError
from tfcnns.training.beginning import Beginning
from tfcnns.training.stages import best_epoch


def in_second_stage(config):
    """Whether a recipe's config is that of stage 2.

    Raises:
        UserError: its "stage" is neither 1 nor 2.
    """
    if config["stage"] not in (1, 2):
        raise UserError(f"stage must be 1 or 2, got {config['stage']}")
    return config["stage"] == 2


def first_run(config):
    """The run of stage 1 that stage 2 builds on.

    Args:
        config: a recipe's, with "from_run", the run's directory, and "monitor".

    Returns:
        (run, best): the finished `Run`, which has best.weights.h5, and the row of its best epoch,
        as `best_epoch` returns it.

    Raises:
        UserError: `from_run` is missing, no run of a stage 1, not finished, or did not log
            `monitor`.
    """
    if not config["from_run"]:
        raise UserError("stage=2 builds on a run of stage 1: --set from_run=DIR")
    run = runs.open_run(str(config["from_run"]))
    if run.config.get("stage") != 1:
        raise UserError(f"from_run={run.path} is not the run of a stage 1 ({run.name})")
    run.check_finished("from_run")
    if not (run.path / "best.weights.h5").exists():
        raise UserError(f"from_run={run.path} has no best.weights.h5")
    try:
        return run, best_epoch(run.path / "history.csv", config["monitor"])
    except ValueError as error:
        raise UserError(f"from_run={run.path}: {error}") from error


class StartFrom(Beginning):
    """Gives the model the weights of a file when training begins, but not when it is resumed.

    Args:
        weights: path of the file, of `model.save_weights`.
        then: function of the model, called once the weights are in, or None.

    Raises:
        UserError: when training begins, if the weights are those of another model.
    """

    def __init__(self, weights, then=None):
        super().__init__()
        self.weights = weights
        self.then = then

    def begin(self):
        try:
            self.model.load_weights(self.weights)
        except ValueError as error:
            raise UserError(f"{self.weights} holds the weights of another model") from error
        if self.then:
            self.then(self.model)


class StopAfter(keras.callbacks.Callback):
    """Ends training after so many epochs, whatever the `epochs` of the config.

    Like the callbacks of `watching` it sets `finished`, for when `fit` is called again.

    Args:
        epochs: how many.
    """

    def __init__(self, epochs):
        super().__init__()
        if epochs < 1:
            raise ValueError(f"Expected epochs >= 1. Received: epochs={epochs}")
        self.epochs = epochs
        self.finished = False

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 >= self.epochs:
            self.finished = self.model.stop_training = True

    def get_state(self):
        return {"finished": self.finished}

    def set_state(self, state):
        self.finished = state["finished"]
