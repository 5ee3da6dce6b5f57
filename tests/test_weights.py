"""Weights on a disk that fills: an error, the older file, and a training that can go on."""

import os
import resource

import keras
import numpy as np
import pytest
from scripts import call

from tfcnns import runs, train
from tfcnns.files import whole
from tfcnns.training import checkpoints
from tfcnns.training.weights import save_weights

LIMIT = 100_000  # bytes that a file may have, less than the weights below


def net(value):
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1000)])
    model.set_weights([np.full(weight.shape, value) for weight in model.weights])
    return model


@pytest.fixture
def restored():
    """What a test allows files to have is undone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill_the_disk():
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, most))


def test_keras_reads_what_was_written(tmp_path):
    save_weights(net(3.0), tmp_path / "a.weights.h5")
    model = net(0.0)
    model.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(model.layers[0].kernel, np.full((30, 1000), 3.0))
    assert os.listdir(tmp_path) == ["a.weights.h5"]


def test_a_full_disk_leaves_the_older_weights(tmp_path, restored):
    file = tmp_path / "a.weights.h5"
    save_weights(net(1.0), file)
    fill_the_disk()
    with pytest.raises(OSError, match="File too large") as raised:
        save_weights(net(2.0), file)
    assert raised.value.filename == str(file)
    model = net(0.0)
    model.load_weights(file)
    np.testing.assert_array_equal(model.layers[0].kernel, np.ones((30, 1000)))
    assert os.listdir(tmp_path) == ["a.weights.h5"]


def test_a_full_disk_leaves_the_older_model(tmp_path, restored):
    file = tmp_path / "model.keras"
    net(1.0).save(file)
    before = file.read_bytes()
    fill_the_disk()
    with pytest.raises(OSError, match="File too large") as raised, whole(file) as temporary:
        net(2.0).save(temporary)
    assert raised.value.filename == str(file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.keras"]


RECIPE = """
import keras, numpy as np, tensorflow as tf
from tests_of_weights import fill
def config():
    return {"epochs": 4, "batch_size": 8, "seed": 1}
def data(config, split, worker, workers):
    x = np.ones((16, 30), "float32")
    return None if split == "validation" else tf.data.Dataset.from_tensor_slices((x, x)).batch(8)
def model(config):
    layers = keras.layers
    return keras.Sequential([keras.Input((30,)), layers.Dense(1000), layers.Dense(30)])
class Fills(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            fill()
    def get_state(self):
        return {}
    def set_state(self, state):
        pass
def compile(model, config):
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return [Fills()]
"""


def test_a_training_whose_disk_fills_ends_in_a_line_and_goes_on(
    tmp_path, monkeypatch, restored, capsys
):
    import sys
    import types

    full = types.ModuleType("tests_of_weights")
    full.fill = fill_the_disk
    monkeypatch.setitem(sys.modules, "tests_of_weights", full)
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    out = tmp_path / "run"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert call(train, f"--recipe={recipe}", f"--out={out}") == 2
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.endswith("File too large\n")
    assert error.count("\n") == 1
    run = runs.open_run(out)
    assert [path.name for path in out.rglob("tmp-*")] == []
    assert checkpoints.read_state(checkpoints.latest(run.checkpoints))["epoch"] == 2
    best = run.load_model("best").get_weights()  # of the second epoch, as is the checkpoint
    model = run.load_model("best", compiled=True)
    checkpoints.restore(checkpoints.latest(run.checkpoints), model, only=("model",))
    for a, b in zip(best, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    full.fill = lambda: None
    assert call(train, f"--out={out}", "--resume") == 0
    assert [row["epoch"] for row in run.history()] == [1, 2, 3, 4]
    assert run.finished
