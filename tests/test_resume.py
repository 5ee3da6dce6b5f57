"""A training process that is killed goes on as if nothing had happened."""

import json
import os
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest

from tfcnns import runs
from tfcnns.training import checkpoints

# Everything that has a state: dropout, momentum, a schedule, a callback, random shifts.
RECIPE = """
import os, signal
import keras
from tfcnns.recipes import nin_digits

PAPER = {}

def config():
    return {**nin_digits.config(), "epochs": 3, "size": 8, "batch_size": 128}

data = nin_digits.data
model = nin_digits.model

class Count(keras.callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        step, number = map(int, os.environ.get("SIGNAL_AT", "0,0").split(","))
        if self.count == step:
            os.kill(os.getpid(), number)
    def get_state(self):
        return {"count": self.count}
    def set_state(self, state):
        self.count = state["count"]

def compile(model, config):
    return [*nin_digits.compile(model, config), Count()]
"""
STEPS = 10  # 1,247 images in batches of 128


def train(*flags, signal_at=(0, 0)):
    return subprocess.run(
        [sys.executable, "-m", "tfcnns.train", *map(str, flags)],
        env={**os.environ, "SIGNAL_AT": "{},{}".format(*signal_at)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def history_without_clock(run):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history()]


def arrays(run):
    """Every number of the last checkpoint: weights, dropout's state, optimiser, metrics."""
    import tensorflow as tf

    prefix = str(checkpoints.latest(run.checkpoints) / "tensors")
    reader = tf.train.load_checkpoint(prefix)
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "counted.py"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, recipe):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    done = train(f"--recipe={recipe}", f"--out={out}", "--deterministic")
    assert done.returncode == 0, done.stderr
    return runs.open_run(out)


def assert_same_end(run, other):
    assert run.finished
    a, b = arrays(run), arrays(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert history_without_clock(run) == history_without_clock(other)
    for x, y in zip(run.load_model().weights, other.load_model().weights, strict=True):
        np.testing.assert_array_equal(x, y)


def test_killed_then_interrupted_then_finished_equals_undisturbed(tmp_path, recipe, undisturbed):
    out = tmp_path / "a run"  # the space must survive in the printed command
    killed = train(
        f"--recipe={recipe}",
        f"--out={out}",
        "--deterministic",
        "--checkpoint_steps=4",
        signal_at=(STEPS + 6, signal.SIGKILL),
    )
    assert killed.returncode == -signal.SIGKILL
    state = checkpoints.read_state(checkpoints.latest(out / "checkpoints"))
    assert (state["epoch"], state["epoch_step"]) == (1, 2)  # global step 12, in mid-epoch
    assert not (out / "model.keras").exists()

    interrupted = train(
        f"--out={out}", "--resume", "--checkpoint_steps=4", signal_at=(2 * STEPS + 3, signal.SIGINT)
    )
    assert interrupted.returncode == 130, interrupted.stderr
    assert "going on from step-00000012" in interrupted.stdout
    assert f"stopped after step {2 * STEPS + 3}" in interrupted.stdout
    command = interrupted.stdout.strip().splitlines()[-1].strip()

    arguments = shlex.split(command)
    assert arguments[:3] == ["python", "-m", "tfcnns.train"]
    finished = train(*arguments[3:])
    assert finished.returncode == 0, finished.stderr
    assert_same_end(runs.open_run(out), undisturbed)
    assert [p.name for p in out.iterdir() if p.name.startswith("tmp-")] == []


def test_a_finished_run_can_be_given_more_epochs(undisturbed, tmp_path):
    import shutil

    out = tmp_path / "run"
    shutil.copytree(undisturbed.path, out)
    done = train(f"--out={out}", "--resume", "--epochs=4")
    assert done.returncode == 0, done.stderr
    run = runs.open_run(out)
    assert run.config["epochs"] == 4
    assert [row["epoch"] for row in run.history()] == [1, 2, 3, 4]
    assert history_without_clock(run)[:3] == history_without_clock(undisturbed)


def test_a_checkpoint_of_another_net_is_refused(undisturbed, tmp_path):
    import shutil

    out = tmp_path / "run"
    shutil.copytree(undisturbed.path, out)
    settings = json.loads((out / "run.json").read_text())
    settings["config"]["class_names"] = list("0123456789")
    (out / "run.json").write_text(json.dumps(settings))
    text = (out / "recipe.py").read_text()
    (out / "recipe.py").write_text(
        text.replace(
            "model = nin_digits.model",
            "def model(c): return keras.Sequential("
            "[keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])",
        )
    )
    done = train(f"--out={out}", "--resume")
    assert done.returncode == 2
    assert "doesn't fit" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_killed_at_any_time_again_and_again(tmp_path, recipe, undisturbed):
    """Kills at moments that hit compiling, stepping, saving and starting alike."""
    out, rng = tmp_path / "run", np.random.RandomState(0)
    first = (f"--recipe={recipe}", f"--out={out}", "--deterministic", "--checkpoint_steps=1")
    resume = (f"--out={out}", "--resume", "--checkpoint_steps=1")
    for _ in range(12):
        flags = resume if (out / "recipe.py").exists() and (out / "run.json").exists() else first
        command = [sys.executable, "-m", "tfcnns.train", *flags]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(4, 12))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            assert process.returncode == 0
    assert train(*resume).returncode == 0
    assert_same_end(runs.open_run(out), undisturbed)
