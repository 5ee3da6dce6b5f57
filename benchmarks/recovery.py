"""Times the end of a training whose worker is killed, and its way back.

    python benchmarks/recovery.py [--rounds=3]

Two workers of `tfcnns.launch` train a small net on the digits. In mid-epoch one of them gets
SIGKILL; "end" is the time until all of them have ended, the survivor with the line that names the
dead one. The same command is then given again; "first step" is the time from there until the
training has made a step that the killed one hadn't saved, Python's and TensorFlow's start included.
"""

import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from absl import app, flags

_ROUNDS = flags.DEFINE_integer("rounds", 3, "kills and resumes", lower_bound=1)

RECIPE = """
import os
import keras
from tfcnns.recipes import nin_digits

PAPER = {}
data, model = nin_digits.data, nin_digits.model

def config():
    return {**nin_digits.config(), "epochs": 1000}

class Say(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step of process", os.getpid(), flush=True)

def compile(model, config):
    return [*(nin_digits.compile(model, config) or []), Say()]
"""
STEP = re.compile(r"\[(\d)\] .*step of process (\d+)")


def start(command, lines):
    """A launcher, whose lines come into the queue with the time at which they came."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )

    def read():
        for line in process.stdout:
            lines.put((time.perf_counter(), line))
        lines.put((time.perf_counter(), ""))

    threading.Thread(target=read, daemon=True).start()
    return process


def until(lines, pattern):
    """The next line that matches, and when it came."""
    last = time.perf_counter() + 300
    while time.perf_counter() < last:
        when, line = lines.get(timeout=300)
        found = re.search(pattern, line)
        if found:
            return when, found
        if not line:
            break
    raise SystemExit(f"no line came that matches {pattern}")


def kill_and_resume(command, victim):
    """Seconds from the kill to the end of all, and from there to the first new step."""
    lines = queue.Queue()
    running = start(command, lines)
    pids = {}
    for _ in range(2 * 20):  # of 39 steps of the first epoch; the last saved one is the 16th
        _, found = until(lines, STEP)
        pids[int(found[1])] = int(found[2])
    killed = time.perf_counter()
    os.kill(pids[victim], signal.SIGKILL)
    until(lines, rf"\[{1 - victim}\] error: worker {victim} .* is gone")
    running.wait()
    ended = time.perf_counter()

    lines, again = queue.Queue(), time.perf_counter()
    resumed = start(command, lines)
    until(lines, "going on from step-")
    stepped, _ = until(lines, STEP)
    resumed.terminate()  # it passes the signal on; all save and end
    resumed.wait()
    return ended - killed, stepped - again


def main(argv):
    del argv
    print(f"{os.cpu_count()} CPU cores\nround  killed  end, s  first step, s")
    with tempfile.TemporaryDirectory() as folder:
        recipe = pathlib.Path(folder) / "mine.py"
        recipe.write_text(RECIPE)
        for number in range(_ROUNDS.value):
            victim = (number + 1) % 2
            launch = [sys.executable, "-m", "tfcnns.launch", "--workers=2", "--"]
            flags = [
                f"--recipe={recipe}",
                f"--out={folder}/{number}",
                "--resume",
                "--checkpoint_steps=8",
            ]
            ended, stepped = kill_and_resume([*launch, *flags], victim)
            name = "chief" if victim == 0 else "other"
            print(f"{number:5d}  {name:6s}{ended:8.1f}{stepped:15.1f}", flush=True)


if __name__ == "__main__":
    app.run(main)
