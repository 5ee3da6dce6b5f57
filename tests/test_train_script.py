"""The train script: what it refuses, in one line with exit code 2 and nothing written."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tfcnns import train
from tfcnns.errors import UserError

RECIPE = """
import keras, tensorflow as tf
def config():
    return {"epochs": 1, "batch_size": 64, "learning_rate": 0.1, "seed": 1, "units": 10}
def data(config, split, worker, workers):
    if split == "validation":
        return None
    x, y = tf.random.stateless_normal([200, 4], (1, 2)), tf.range(200) % 10
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(config["batch_size"])
def model(config):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(config["units"])])
def compile(model, config):
    model.compile(keras.optimizers.SGD(config["learning_rate"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True))
"""


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(RECIPE)
    return file


def call(*flags):
    """Exit code of the script run in this process."""
    with pytest.raises(SystemExit) as left:
        train.run(["train", *flags])
    return left.value.code or 0


def used_dir(path):
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    return path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--recipe=nin_digit"], "unknown recipe 'nin_digit', did you mean 'nin_digits'"),
        (["--recipe=zzz"], "unknown recipe 'zzz', expected one of"),
        (["--recipe=no/such.py"], "no recipe file at no/such.py"),
        ([], "--recipe is missing"),
        (["--recipe=nin_digits", "--learning_rate=-1"], "learning_rate must be above 0, got -1.0"),
        (["--recipe=nin_digits", "--learning_rate=x"], "learning_rate"),
        (["--recipe=nin_digits", "--epochs=0"], "epochs must be above 0, got 0"),
        (["--recipe=nin_digits", "--batch_size=5000"], "batch_size=5000"),
        (["--recipe=nin_digits", "--set=dropot=0.1"], "did you mean 'dropout'"),
        (["--recipe=nin_digits", "--set=dropout"], "expected name=value"),
        (["--recipe=nin_digits", "--checkpoint_steps=0"], "checkpoint_steps must be above 0"),
        (["--recipe=nin_digits", "--lr=1"], "Unknown command line flag 'lr'"),
        (["--recipe=nin_digits", "more"], "unexpected argument 'more'"),
        (["--resume"], "is not a directory"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, capsys, flags, said):
    out = tmp_path / "run"
    assert call(f"--out={out}", *flags) == 2
    printed, error = capsys.readouterr()
    assert said in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert printed == ""
    assert not out.exists()


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_a_directory_with_something_else_is_left_alone(tmp_path, capsys, flags):
    out = used_dir(tmp_path / "run")
    assert call(f"--out={out}", "--recipe=nin_digits", *flags) == 2
    assert "run" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["notes.txt"]


def test_a_users_own_file_trains_and_leaves_a_whole_run(tmp_path, recipe, capsys):
    from tfcnns import runs

    out = tmp_path / "run"
    assert call(f"--recipe={recipe}", f"--out={out}", "--epochs=2", "--set=units=12") == 0
    run = runs.open_run(out)
    assert run.config == {
        "epochs": 2, "batch_size": 64, "learning_rate": 0.1, "seed": 1, "units": 12
    }  # fmt: skip
    assert [row["epoch"] for row in run.history()] == [1, 2]
    assert run.load_model().output_shape == (None, 12)
    names = {p.name for p in out.iterdir()}
    assert names == {
        "recipe.py", "run.json", "history.csv", "tensorboard", "checkpoints", "lock",
        "best.weights.h5", "last.weights.h5", "model.keras",
    }  # fmt: skip
    assert "trained 2 epochs" in capsys.readouterr().out
    assert call(f"--recipe={recipe}", f"--out={out}") == 2
    assert call(f"--recipe={recipe}", f"--out={out}", "--overwrite") == 0
    assert len(runs.open_run(out).history()) == 1
    assert call(f"--out={out}", "--resume", "--seed=3") == 2
    assert "only --epochs may change" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("trainable", "said"),
    [(True, "mine: 80 parameters, 1 "), (False, "mine: 60 parameters and 20 that stay as they ar")],
)
def test_parameters_are_those_that_are_trained(tmp_path, capsys, trainable, said):
    recipe = tmp_path / "mine.py"
    layers = f"keras.layers.Dense(4, trainable={trainable}), keras.layers.Dense"
    recipe.write_text(
        RECIPE.replace("keras.layers.Dense", layers).replace('"units": 10', '"units": 12')
    )
    assert call(f"--recipe={recipe}", f"--out={tmp_path}/run") == 0
    assert said in capsys.readouterr().out


def test_one_epoch_recipes_resume_too(tmp_path, recipe):
    from tfcnns import runs

    out = tmp_path / "run"
    assert call(f"--recipe={recipe}", f"--out={out}") == 0
    assert call(f"--out={out}", "--resume", "--epochs=3") == 0
    assert len(runs.open_run(out).history()) == 3


def test_a_finished_run_that_goes_on_is_unfinished_until_it_ends(tmp_path, recipe, caplog):
    from tfcnns import runs

    out = tmp_path / "run"
    stop = "LambdaCallback(on_epoch_end=lambda n, _: n == 1 and signal.raise_signal(2))"
    text = RECIPE.replace("import keras", "import keras, signal")
    recipe.write_text(f"{text}    return [keras.callbacks.{stop}]\n")
    assert call(f"--recipe={recipe}", f"--out={out}") == 0
    run = runs.open_run(out)
    first = run.load_model().get_weights()
    assert call(f"--out={out}", "--resume") == 0  # for no more epochs: it stays finished
    assert run.finished
    assert call(f"--out={out}", "--resume", "--epochs=3") == 130  # Ctrl-C in the second epoch
    run = runs.open_run(out)
    assert not run.finished
    with pytest.raises(
        UserError, match=r"^from_run=.*run isn't finished, it stands at epoch 2 of 3"
    ):
        run.check_finished("from_run")
    (run.path / "model_after_1.keras").rename(run.path / "model.keras")  # as it was is kept
    np.testing.assert_array_equal(run.load_model().get_weights()[0], first[0])
    (run.path / "model.keras").unlink()
    with caplog.at_level("WARNING", "tfcnns"):
        run.load_model("last")
    assert "run isn't finished: its last weights so far, at epoch 2 of 3" in caplog.text
    caplog.clear()
    assert call(f"--out={out}", "--resume") == 0
    assert run.finished
    run.load_model("last")
    assert caplog.text == ""


def cut(file, size):
    file.write_bytes(file.read_bytes()[:size])


def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(tmp_path, recipe, caplog, capsys):
    from tfcnns import runs

    out = tmp_path / "run"
    assert call(f"--recipe={recipe}", f"--out={out}", "--epochs=3") == 0
    newest = sorted(out.glob("checkpoints/step-*"))[-1]
    whole = runs.open_run(out).load_model("last").get_weights()
    cut(newest / "state.json", 0)
    capsys.readouterr()
    assert call(f"--out={out}", "--resume") == 0
    assert f"{newest} is damaged" in caplog.text
    assert "going on from step-00000008" in capsys.readouterr().out  # of 4 steps an epoch
    run = runs.open_run(out)
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]
    for a, b in zip(whole, run.load_model("last").get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for checkpoint in out.glob("checkpoints/step-*"):
        cut(checkpoint / "tensors.data-00000-of-00001", 7)
    assert call(f"--out={out}", "--resume", "--epochs=4") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: no checkpoint in {out}/checkpoints is whole")


def test_a_run_is_locked_before_its_checkpoint_is_chosen(tmp_path, recipe, monkeypatch, capsys):
    from tfcnns import runs
    from tfcnns.training import checkpoints

    out = tmp_path / "run"
    assert call(f"--recipe={recipe}", f"--out={out}") == 0
    run, latest, locked = runs.open_run(out), checkpoints.latest, []

    def looks(folder):
        locked.append(run.training)
        return latest(folder)

    monkeypatch.setattr(checkpoints, "latest", looks)
    assert call(f"--out={out}", "--resume", "--epochs=2") == 0
    with run.lock():
        assert call(f"--out={out}", "--resume", "--epochs=3") == 2
    assert "is being trained by another process" in capsys.readouterr().err
    assert locked == [True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_is_the_exit_code(tmp_path, recipe, number, capsys):
    recipe.write_text(
        RECIPE.replace("import keras", "import keras, os")
        + f"    stop = lambda batch, logs: os.kill(os.getpid(), {int(number)})\n"
        + "    return [keras.callbacks.LambdaCallback(on_train_batch_end=stop)]\n"
    )
    out = tmp_path / "run"
    assert call(f"--recipe={recipe}", f"--out={out}") == 128 + number
    assert "stopped after step 1; go on with:" in capsys.readouterr().out
    assert (out / "checkpoints" / "step-00000001").is_dir()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_overwrite_deletes_nothing_that_it_is_to_read(tmp_path, recipe, capsys):
    text = RECIPE.replace('"units": 10', '"units": 10, "from_run": None')
    recipe.write_text(text)
    out = tmp_path / "run"
    assert call(f"--recipe={recipe}", f"--out={out}") == 0
    before = sorted(out.rglob("*"))
    flags = [f"--recipe={recipe}", f"--out={out}", "--overwrite"]
    assert call(*flags, f"--set=from_run={out}") == 2
    assert f"--overwrite would delete from_run={out}" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before
    assert call(*flags, f"--set=from_run={tmp_path}") == 0


def test_paths_are_those_of_where_they_were_typed(tmp_path, monkeypatch, recipe):
    """As the recipe reads them then, and in whatever directory a later script is started."""
    from tfcnns import evaluate, runs

    recipe.write_text(
        RECIPE.replace('"units": 10', '"units": 10, "data_dir": None')
        .replace('config["units"])]', 'config["units"], "softmax")]')
        .replace(
            "    x, y =",
            "    assert open(config['data_dir'] + '/numbers').read() == 'all'\n    x, y =",
        )
    )
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "numbers").write_text("all")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("--recipe=mine.py", "--out=run", "--data_dir=sets") == 0
    assert runs.open_run("run").config["data_dir"] == f"{tmp_path}/sets"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("--out=../run", "--resume", "--epochs=2") == 0
    with pytest.raises(SystemExit) as left:
        evaluate.run(["evaluate", "--run=../run"])
    assert not left.value.code
    same = ("--recipe=../mine.py", "--out=../run", "--resume", "--epochs=2")
    assert call(*same, "--data_dir=../sets") == 0
    assert call(*same, "--data_dir=sets") == 2


def test_a_run_where_nothing_can_be_written_is_refused_before_work(tmp_path, recipe, capsys):
    (tmp_path / "file").touch()
    for out, said in (
        ("file/run", "is a file, expected a directory"),
        ("x" * 256, "File name too long"),
    ):
        assert call(f"--recipe={recipe}", f"--out={tmp_path / out}") == 2
        assert said in capsys.readouterr().err


def test_list_and_help_need_no_tensorflow():
    code = (
        "import sys\n"
        "sys.modules['tensorflow'] = sys.modules['keras'] = None\n"  # importing them would fail
        "from tfcnns import train\n"
        "train.run(['train', sys.argv[1]])\n"
    )
    for flag, said in (("--list", "nin_digits  "), ("--help", "--checkpoint_minutes")):
        done = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


def test_another_backend_is_one_line(tmp_path, recipe):
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-m", "tfcnns.train", f"--recipe={recipe}", f"--out={tmp_path}/run"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: expected Keras' TensorFlow backend")
    assert line.endswith("Received: jax")
    assert not (tmp_path / "run").exists()


def test_nothing_but_our_own_words_reach_the_user(tmp_path, recipe):
    """TensorFlow greets from C++ while it is imported; asked for, it may."""
    command = [sys.executable, "-m", "tfcnns.train", f"--recipe={recipe}", f"--out={tmp_path}/a"]
    quiet = subprocess.run(command, capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    command[-1] = f"--out={tmp_path}/b"
    loud = subprocess.run([*command, "--verbosity=1"], capture_output=True, text=True, check=True)
    assert loud.stderr != ""
