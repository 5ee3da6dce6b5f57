"""--xla of the train script: what is chosen, what is kept with the run, what is refused."""

import functools

import pytest
import tensorflow as tf
from scripts import call as call_script

from tfcnns import runs, train
from tfcnns.errors import UserError
from tfcnns.layers.xla import segments_are_on
from tfcnns.training import compiling

RECIPE = """
import keras, tensorflow as tf
from tfcnns.layers import LRN, TowerDense, xla
from tfcnns.training.paper_sgd import PaperSGD
def config():
    return {"epochs": 1, "batch_size": 64, "learning_rate": 0.1, "devices": None}
def data(config, split, worker, workers):
    x, y = tf.random.stateless_normal([200, 4], (1, 2)), tf.range(200) % 10
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(config["batch_size"])
def model(config):
    layers = [LRN(), TowerDense(10, devices=config["devices"]), keras.layers.Softmax()]
    return keras.Sequential([keras.Input((4,)), *layers])
class Report(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("segments:", xla.segments_are_on(), "step:", self.model.jit_compile)
def compile(model, config):
    model.compile(PaperSGD(config["learning_rate"]), "sparse_categorical_crossentropy")
    return [Report()]
"""


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(RECIPE)
    return file


script = functools.partial(call_script, train)


@pytest.mark.parametrize(
    ("asked", "chosen", "report"),
    [
        ("auto", "segments", "segments: True step: False"),
        ("segments", "segments", "segments: True step: False"),
        ("step", "step", "segments: False step: True"),
        ("off", "off", "segments: False step: False"),
    ],
)
def test_what_was_chosen_is_done_said_and_kept(tmp_path, recipe, capsys, asked, chosen, report):
    out = tmp_path / "run"
    assert script(f"--recipe={recipe}", f"--out={out}", f"--xla={asked}") == 0
    printed = capsys.readouterr().out
    assert f"XLA {chosen};" in printed
    assert report in printed
    assert runs.open_run(out).settings["flags"]["xla"] == chosen
    assert not segments_are_on()
    assert script(f"--out={out}", "--resume", "--epochs=2") == 0
    assert report in capsys.readouterr().out


def test_a_step_over_two_devices_is_refused(tmp_path, recipe, capsys):
    flags = [f"--recipe={recipe}", f"--out={tmp_path}/no", "--set=devices=('/CPU:0', '/CPU:1')"]
    assert script(*flags, "--xla=step") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --xla=step: whole steps can't be compiled for a net on several")
    assert error.count("\n") == 1
    assert not (tmp_path / "no").exists()
    assert not segments_are_on()
    assert script(*flags, "--xla=segments") == 0


def test_a_step_under_a_strategy_is_refused():
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    with pytest.raises(UserError, match=r"--xla=step.*under a strategy; use --xla=segments"):
        compiling.choose_way("step", strategy)
    assert compiling.choose_way("auto", strategy) == "segments"
    assert compiling.choose_way("off", strategy) == "off"
