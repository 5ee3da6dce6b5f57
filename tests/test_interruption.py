"""Ctrl-C in a script: no word, exit code 130, whatever it is doing at that moment."""

import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from small_recipes import untrained_run

# A script that says when it has come to where it is to be interrupted.
SCRIPT = """
import hashlib, os, sys, time
from tfcnns import cli

def main(rest):
    try:
        print("here", flush=True)
        {doing}
    finally:
        open({file!r}, "a").write("cleaned up ")

sys.argv = ["script"]
cli.script(main, cli.new_flags(), "")()
"""
LOST = """
        class Loses:
            def __del__(self):  # an exception in here is printed, and that is all
                time.sleep(30)
        Loses()
        time.sleep(30)
"""
FAILS = """
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            raise ImportError("cannot import name 'x' from partially initialized module")
"""
DEAF = "hashlib.pbkdf2_hmac('sha512', b'x', b'x', 2 * 10**9)"  # comes back to Python after hours


@pytest.mark.parametrize(
    ("doing", "ends_itself"),
    [("time.sleep(30)", True), (LOST, False), (FAILS, True), (DEAF, False)],
    ids=["in Python", "where it is lost", "where it becomes another error", "in deaf C"],
)
def test_ctrl_c_is_quiet_wherever_it_comes(tmp_path, doing, ends_itself):
    file = tmp_path / "end"
    text = SCRIPT.format(doing=doing.strip(), file=str(file))
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        time.sleep(0.1)  # from the line to what comes after it
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (130, b"", b"")
    assert file.exists() == ends_itself


def test_a_process_started_to_ignore_it_does():
    """As a shell starts what runs in the background."""
    text = SCRIPT.format(doing="os.kill(os.getpid(), 2)", file=os.devnull)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"here\n", b"")


@pytest.mark.parametrize(
    ("first", "original"),
    [("-m", ["python", "-m", "tfcnns.train"]), ("/opt/bin/tfcnns-train", ["python", "..."])],
)
def test_a_script_is_quiet_before_it_has_imported_what_it_needs(first, original):
    text = (
        "import os, signal, sys\n"
        f"sys.argv[0], sys.orig_argv = {first!r}, {original!r}\n"  # as it is while that is imported
        "import tfcnns\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_importing_the_package_leaves_the_signal_alone():
    text = "import signal, tfcnns; print(signal.getsignal(2) is signal.default_int_handler)"
    assert subprocess.check_output([sys.executable, "-c", text]) == b"True\n"


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train", "predict"])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 3.5])
def test_real_scripts_while_they_import_load_and_work(tmp_path, script, seconds):
    flags = [f"--out={tmp_path}/run", "--recipe=nin_digits", "--epochs=1000"]
    if script == "predict":
        untrained_run(tmp_path / "run", "nin_digits")
        Image.new("L", (30, 30)).save(tmp_path / "x.png")
        flags = [f"--run={tmp_path}/run", *["x.png"] * 50_000]
    command = [sys.executable, "-m", f"tfcnns.{script}", *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, b"")
