"""The launcher: its words and exit codes, with workers that are quick to fail."""

import signal
import subprocess
import sys
import time

import pytest

from tfcnns import launch


def call(*arguments):
    with pytest.raises(SystemExit) as left:
        launch.run(["launch", *arguments])
    return left.value.code or 0


def test_nothing_to_start(capsys):
    assert call("--workers=2") == 2
    assert capsys.readouterr().err.startswith("error: nothing to start")


def test_a_mistake_reaches_the_user_from_every_worker(capsys):
    assert call("--workers=2", "--", "--recipe=nin_digit", "--out=never") == 2
    said = capsys.readouterr().out.splitlines()
    for worker in (0, 1):
        assert f"[{worker}] error: unknown recipe 'nin_digit'" in "\n".join(said)
    assert any(line.endswith("ended with code 2") for line in said)


def test_addresses_differ():
    addresses = launch.free_addresses(20)
    assert len(set(addresses)) == 20
    assert all(address.startswith("127.0.0.1:") for address in addresses)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_ctrl_c_before_the_workers_train_is_quiet(tmp_path, seconds):
    command = [sys.executable, "-m", "tfcnns.launch", "--workers=2", "--"]
    command += ["--recipe=nin_digits", f"--out={tmp_path}/run", "--epochs=1000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert error == ""
    assert "Traceback" not in said
