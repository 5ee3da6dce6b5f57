"""Batches from tf.data services in other processes are those that are made here."""

import contextlib
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from tfcnns import runs
from tfcnns.errors import UserError
from tfcnns.recipes import nin_digits
from tfcnns.training import peers
from tfcnns.training.services import check_readable, served

ROOT = pathlib.Path(__file__).parents[1]


@contextlib.contextmanager
def one_service(*flags):
    """A process that serves, and its address."""
    command = [sys.executable, "-m", "tfcnns.data_service", "--port=0", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def services():
    with one_service() as (_, first), one_service() as (_, second):
        yield first, second


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
    from tfcnns import train

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


def test_a_service_that_gives_a_name_unknown_here_is_one_line(services):
    check_readable(services)
    with one_service("--host=no.such.host.invalid") as (_, service):
        here = "grpc://localhost:" + service.rpartition(":")[2]
        with pytest.raises(UserError, match=f"{here} answers, but what it makes doesn't arrive"):
            check_readable([here], limit=2.0)


@pytest.mark.slow
def test_a_service_that_dies_ends_the_training_and_it_goes_on_with_another(tmp_path):
    run = tmp_path / "run"
    flags = ["--recipe=nin_digits", f"--out={run}", "--resume", "--set=size=8", "--batch_size=128"]

    def train(epochs, service):
        command = [sys.executable, "-m", "tfcnns.train", *flags, f"--epochs={epochs}"]
        return subprocess.Popen(
            [*command, f"--data_service={service}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with one_service() as (process, service), train(10**6, service) as training:
        for line in training.stdout:
            if line.startswith("Epoch 3/"):
                process.kill()
                break
        said = training.stdout.read().splitlines()
        assert training.wait(60) == peers.LOST
    assert said[-1] == (
        f"error: data service {service} is gone; start it again, and then the training, with "
        "--resume, to go on from the last checkpoint"
    )
    done = len(runs.open_run(run).history())
    assert done >= 2
    with one_service() as (_, service), train(done + 1, service) as training:
        said = training.stdout.read()
        assert training.wait() == 0, said
    assert "going on from step-" in said
    assert len(runs.open_run(run).history()) == done + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_service_quietly(number):
    with one_service() as (process, _):
        process.stdout.readline()  # it listens to signals before it has said the last of this
        process.send_signal(number)
        assert process.wait(60) == 128 + number
