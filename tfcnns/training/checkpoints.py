"""Whole states of training on disk: everything needed to go on as if nothing had happened.

A checkpoint is a directory `checkpoints/step-00000123` that holds the tensors, written by
`tf.train.Checkpoint`, and `state.json`: epoch, step and the rest of what Python knows. It is
made under a temporary name, flushed to the disk and renamed, so one that has its name was whole.
"""

import json
import logging
import os
import pathlib
import re
import shutil

import keras
import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.files import flush, remove, temporary_name

KEEP = 2  # the newest, and the one before should the disk have lost the newest
_STATE = ("step", "epoch", "epoch_step", "best", "callbacks", "shapes")
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
    temporary = folder / temporary_name()
    try:
        temporary.mkdir()
        tf.train.Checkpoint(**parts).write(str(temporary / "tensors"))
        (temporary / "state.json").write_text(json.dumps(state, indent=2))
        for file in temporary.iterdir():
            flush(file)
        flush(temporary)
        final = folder / f"step-{state['step']:08d}"
        if final.exists():  # the same step once more, after a resume
            remove(final)
        os.rename(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    flush(folder)
    there = _all(folder)
    kept = there[: there.index(final) + 1][-KEEP:]  # none after it, which were damaged
    for path in there:
        if path not in kept:
            remove(path)


def latest(folder):
    """Path of the newest whole checkpoint in `folder`, or None if there are none at all.

    One that is damaged is named in a line, and the one before is taken.

    Raises:
        UserError: all are damaged.
    """
    folder = pathlib.Path(folder)
    found = _all(folder) if folder.is_dir() else []
    damages = []
    for checkpoint in reversed(found):
        damages.append(_damage(checkpoint))
        if damages[-1] is None:
            return checkpoint
        logging.getLogger("tfcnns").warning("%s is damaged: %s", checkpoint, damages[-1])
    if found:
        raise UserError(
            f"no checkpoint in {folder} is whole, so there is nothing to go on from: start anew "
            f"with --overwrite ({found[-1].name}: {damages[0]})"
        )
    return None


def _damage(checkpoint):
    """What is wrong with a checkpoint, a few words; None if it can be read to its last byte."""
    try:
        state = json.loads((checkpoint / "state.json").read_text())
    except (OSError, ValueError) as error:
        return f"state.json: {getattr(error, 'strerror', None) or error}"
    missing = [name for name in _STATE if not isinstance(state, dict) or name not in state]
    if missing:
        return f"state.json lacks {missing[0]!r}"
    try:
        reader = tf.train.load_checkpoint(str(checkpoint / "tensors"))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # TensorFlow checks its sum
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:
        return f"tensors: {' '.join(str(error).split())}"
    return None


def read_state(checkpoint):
    """The `state` that `save` was given."""
    return json.loads((checkpoint / "state.json").read_text())


def restore(checkpoint, model, only=("model", "optimizer", "seeds")):
    """Gives the named parts of a built, compiled model the values of a checkpoint.

    Raises:
        UserError: the model has other variables than the one that was saved.
    """
    parts = {name: part for name, part in _parts(model).items() if name in only}
    for name, part in parts.items():
        saved = read_state(checkpoint)["shapes"].get(name, [])
        shapes = [list(v.shape) for v in part]
        if saved != shapes:
            raise UserError(
                f"{checkpoint} doesn't fit: its {name} has {len(saved)} variables, "
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
        "seeds": [generator.state.value for generator in _seeds(model)],
    }


def _seeds(model):
    """The random generators of losses and metrics, which are in none of Keras' own lists."""
    compiled = [*keras.tree.flatten(getattr(model, "loss", None)), *model.metrics]
    attributes = [value for one in compiled for value in getattr(one, "__dict__", {}).values()]
    generators = [a for a in attributes if isinstance(a, keras.random.SeedGenerator)]
    return list(dict.fromkeys(generators))  # of a loss of several outputs, one


def _all(folder):
    return sorted(path for path in folder.iterdir() if _NAME.match(path.name))
