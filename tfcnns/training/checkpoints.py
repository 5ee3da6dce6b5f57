"""Whole states of training on disk: everything needed to go on as if nothing had happened.

A checkpoint is a directory `checkpoints/step-00000123` that holds the tensors, written by
`tf.train.Checkpoint`, and `state.json`: epoch, step and the rest of what Python knows. It is
made under a temporary name, flushed to the disk and renamed, so one that has its name is whole.
"""

import json
import os
import pathlib
import re
import shutil

import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.runs import flush

KEEP = 2  # the newest, and the one before should the disk have lost the newest
_NAME = re.compile(r"step-(\d+)$")


def save(folder, model, state):
    """Saves the model's, the optimiser's and the metrics' variables, and `state`.

    Args:
        folder: directory of the checkpoints; made if missing. None writes nothing: the values
            of metrics are summed over workers, so that all of them have to come here.
        model: compiled `keras.Model` with a built optimiser.
        state: JSON-able dict with the global "step"; names the checkpoint.
    """
    parts = _parts(model)
    parts["metrics"] = [tf.Variable(v.read_value()) for v in parts["metrics"]]
    if folder is None:
        return
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    temporary = folder / f"tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    tf.train.Checkpoint(**parts).write(str(temporary / "tensors"))
    (temporary / "state.json").write_text(json.dumps(state, indent=2))
    for file in temporary.iterdir():
        flush(file)
    flush(temporary)
    final = folder / f"step-{state['step']:08d}"
    if final.exists():  # the same step once more, after a resume
        shutil.rmtree(final)
    os.rename(temporary, final)
    flush(folder)
    for old in _all(folder)[:-KEEP]:
        shutil.rmtree(old)


def latest(folder):
    """Path of the newest whole checkpoint in `folder`, or None."""
    folder = pathlib.Path(folder)
    found = _all(folder) if folder.is_dir() else []
    return found[-1] if found else None


def read_state(checkpoint):
    """The `state` that `save` was given."""
    return json.loads((checkpoint / "state.json").read_text())


def restore(checkpoint, model, only=("model", "optimizer")):
    """Gives the named parts of a built, compiled model the values of a checkpoint.

    Raises:
        UserError: the model has other variables than the one that was saved.
    """
    parts = {name: part for name, part in _parts(model).items() if name in only}
    for name, part in parts.items():
        saved = read_state(checkpoint)["shapes"].get(name)
        shapes = [list(v.shape) for v in part]
        if saved != shapes:
            raise UserError(
                f"{checkpoint} doesn't fit: its {name} has {len(saved or [])} variables, "
                f"the recipe's has {len(shapes)}, or their shapes differ"
            )
    status = tf.train.Checkpoint(**parts).read(str(checkpoint / "tensors"))
    status.assert_existing_objects_matched()
    status.expect_partial()


def shapes(model):
    """The shapes of all saved variables by part, for `state["shapes"]`."""
    return {name: [list(v.shape) for v in part] for name, part in _parts(model).items()}


def _parts(model):
    # Plain lists in Keras' own order: they hold the states of random generators (dropout)
    # too, which the object graph of a Keras 3 model doesn't.
    return {
        "model": [v.value for v in model.variables],
        "optimizer": [v.value for v in model.optimizer.variables],
        "metrics": [v.value for v in model.metrics_variables],
    }


def _all(folder):
    return sorted(path for path in folder.iterdir() if _NAME.match(path.name))
