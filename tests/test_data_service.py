"""Batches from tf.data services in other processes are those that are made here."""

import contextlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tfcnns.recipes import nin_digits
from tfcnns.training.crew import served

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def services():
    command = [sys.executable, "-m", "tfcnns.data_service", "--port=0"]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(2)
        ]
        for process in processes:
            stack.callback(process.kill)
        yield tuple(process.stdout.readline().split()[-1] for process in processes)


@pytest.mark.parametrize("count", [1, 2])
def test_same_batches_in_the_same_order(services, count):
    config = {**nin_digits.config(), "epochs": 2, "batch_size": 256, "size": 8, "first_step": 3}

    def make(worker, workers):
        return nin_digits.data(config, "train", worker, workers)

    here = make(1, 2)
    there = served(make, services[:count], worker=1, workers=2)
    assert there.cardinality() == here.cardinality() == 7
    for (x, y), (u, v) in zip(here, there, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)


def test_a_script_trains_from_it(services, tmp_path):
    from tfcnns import runs, train

    flags = ["--recipe=nin_digits", "--epochs=1", "--batch_size=128", "--set=size=8"]
    rows = []
    for name, more in (("here", []), ("there", [f"--data_service={','.join(services)}"])):
        with pytest.raises(SystemExit) as left:
            train.run(["train", *flags, f"--out={tmp_path / name}", *more])
        assert not left.value.code
        rows.append(runs.open_run(tmp_path / name).history()[0])
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-6)
    assert rows[0]["val_loss"] == pytest.approx(rows[1]["val_loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("foo", "expected grpc://host:port. Received: foo"),
        ("grpc://127.0.0.1", "expected grpc://host:port. Received: grpc://127.0.0.1"),
        ("grpc://127.0.0.1:1", "nothing answers at grpc://127.0.0.1:1; start python"),
    ],
)
def test_a_service_that_is_not_there_is_one_line(tmp_path, capsys, service, said):
    from tfcnns import train

    flags = ["--recipe=nin_digits", f"--out={tmp_path}/run", f"--data_service={service}"]
    with pytest.raises(SystemExit) as left:
        train.run(["train", *flags])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --data_service: {said}")
