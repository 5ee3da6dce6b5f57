"""Checkpoints that the disk has damaged: the one before is gone on from."""

import json
import logging
import shutil

import keras
import numpy as np
import pytest

from tfcnns.errors import UserError
from tfcnns.training import checkpoints

DATA = "tensors.data-00000-of-00001"


def net():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def save(folder, model, step):
    state = {"step": step, "epoch": step, "epoch_step": 0, "best": None, "callbacks": []}
    checkpoints.save(folder, model, {**state, "shapes": checkpoints.shapes(model)})


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, whose kernels are all 1 and all 2."""
    model = net()
    for step in (1, 2):
        model.layers[0].kernel.assign(np.full((4, 3), step))
        save(tmp_path / "checkpoints", model, step)
    return tmp_path / "checkpoints"


def cut(file, size):
    file.write_bytes(file.read_bytes()[:size])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def without(file, name):
    state = json.loads(file.read_text())
    del state[name]
    file.write_text(json.dumps(state))


DAMAGES = {
    "state empty": lambda at: cut(at / "state.json", 0),
    "state cut off": lambda at: cut(at / "state.json", 20),
    "state is no text": lambda at: (at / "state.json").write_bytes(b"\xff\xfe"),
    "state is a list": lambda at: (at / "state.json").write_text("[]"),
    "state lacks a key": lambda at: without(at / "state.json", "callbacks"),
    "state missing": lambda at: (at / "state.json").unlink(),
    "data empty": lambda at: cut(at / DATA, 0),
    "data cut off": lambda at: cut(at / DATA, 30),
    "a bit of data changed": lambda at: flip(at / DATA),
    "data missing": lambda at: (at / DATA).unlink(),
    "index empty": lambda at: cut(at / "tensors.index", 0),
    "index cut off": lambda at: cut(at / "tensors.index", 50),
    "index missing": lambda at: (at / "tensors.index").unlink(),
    "no files": lambda at: (shutil.rmtree(at), at.mkdir()),
    "a file": lambda at: (shutil.rmtree(at), at.write_text("")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_one_is_named_and_the_one_before_is_taken(folder, caplog, damage):
    assert checkpoints.latest(folder).name == "step-00000002"
    assert not caplog.records
    damage(folder / "step-00000002")
    with caplog.at_level(logging.WARNING):
        found = checkpoints.latest(folder)
    assert found.name == "step-00000001"
    (line,) = caplog.messages
    assert line.startswith(f"{folder}/step-00000002 is damaged: ")
    assert "\n" not in line
    model = net()
    checkpoints.restore(found, model)
    np.testing.assert_array_equal(model.layers[0].kernel, np.ones((4, 3)))


def test_all_damaged_is_a_mistake_of_one_line(folder):
    for name in ("step-00000001", "step-00000002"):
        cut(folder / name / DATA, 5)
    with pytest.raises(UserError, match=r"no checkpoint in .* is whole.*--overwrite"):
        checkpoints.latest(folder)


def test_a_damaged_one_is_gone_once_the_training_went_on(folder):
    cut(folder / "step-00000002" / DATA, 5)
    model = net()
    save(folder, model, 1)  # the same step again
    assert [path.name for path in folder.iterdir()] == ["step-00000001"]
    save(folder, model, 2)
    save(folder, model, 3)
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000003"]


def test_none_at_all(tmp_path):
    assert checkpoints.latest(tmp_path) is None
    assert checkpoints.latest(tmp_path / "checkpoints") is None
