"""The recipe of AlexNet with its towers on two devices, and opened where there is only one."""

import pathlib
import subprocess
import sys

import pytest

from tfcnns import runs, train
from tfcnns.training.placement import build_optimizer

ROOT = pathlib.Path(__file__).parents[1]
TWO = ("/CPU:0", "/CPU:1")
SMALL = {
    **{"data": "digits", "limit": 16, "statistics": 4, "classes": 10},
    **{"width": 0.05, "size": 67, "short_side": 72, "views": "center"},
}


def call(out, *flags, **values):
    settings = {**SMALL, "devices": TWO, **values}
    flags = ["--recipe=alexnet_imagenet", "--epochs=1", "--batch_size=8", f"--out={out}", *flags]
    with pytest.raises(SystemExit) as left:
        train.run(["train", *flags, *(f"--set={name}={value}" for name, value in settings.items())])
    return left.value.code or 0


@pytest.mark.slow
def test_a_run_on_two_devices_is_evaluated_where_there_is_one(tmp_path):
    assert call(tmp_path / "run", "--xla=off") == 0
    run = runs.open_run(tmp_path / "run")
    assert run.config["devices"] == TWO
    model = run.load_model(compiled=True)
    build_optimizer(model)
    for variable in [*model.trainable_weights, *model.optimizer.velocities]:
        expected = "CPU:1" if "tower1" in variable.path else "CPU:0"
        assert variable.value.device.endswith(expected), variable.path
    # This process has two CPUs; a new one has one.
    done = subprocess.run(
        [sys.executable, "-m", "tfcnns.evaluate", f"--run={run.path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("saved for the devices /CPU:0, /CPU:1; this process has /CPU:0: ")
    assert "test error" in done.stdout


@pytest.mark.parametrize(
    ("values", "flag", "message"),
    [
        ({}, "--strategy=mirrored", "devices hold a tower each, and a strategy's a whole net"),
        ({}, "--devices=/CPU:0", "devices hold a tower each, and a strategy's a whole net"),
        ({"towers": 1}, "", "one tower needs no devices: leave out half, towers or devices="),
        ({"half": True}, "", "one tower needs no devices: leave out half, towers or devices="),
        ({"devices": "('/CPU:0',)"}, "", "devices must be a tuple of 2 names. Received: devices="),
        ({"devices": "/CPU:0"}, "", "devices must be a tuple of 2 names. Received: devices='/C"),
        ({"devices": ("/CPU:0", "/GPU:7")}, "", "`devices` must exist; this process has /CPU:0, "),
    ],
)
def test_one_line(tmp_path, capsys, values, flag, message):
    assert call(tmp_path / "run", *filter(None, [flag]), **values) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
    assert not (tmp_path / "run").exists()
