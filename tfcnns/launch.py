"""python -m tfcnns.launch: trains with several worker processes on this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from absl import flags

from tfcnns import cli
from tfcnns.errors import UserError

USAGE = """\
Starts python -m tfcnns.train --strategy=multiworker in several processes of this machine and
ends when they have; what stands after -- goes to each.

  python -m tfcnns.launch --workers=2 -- --recipe=nin_digits --out=runs/digits --resume
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_integer("workers", 2, "how many processes", lower_bound=1, **_own)
flags.DEFINE_float(
    "grace", 60.0, "seconds that the others get to end by themselves when one has failed", **_own
)


def main(arguments):
    if not arguments:
        raise UserError("nothing to start: give the flags of tfcnns.train after --")
    return launch(FLAGS.workers, arguments, FLAGS.grace)


def launch(workers, arguments, grace=60.0):
    """Runs `workers` processes of tfcnns.train to their end.

    Args:
        workers: how many.
        arguments: list of flags for each.
        grace: seconds before the rest is killed once one has failed.

    Returns: 0, or the exit code of the first that failed; 128 + n where signal n killed it.
    """
    addresses = free_addresses(workers)
    processes, readers = [], []
    try:
        with _signals_to(processes):
            for worker in range(workers):
                processes.append(_start(addresses, worker, arguments))
                readers.append(threading.Thread(target=_forward, args=(worker, processes[-1])))
                readers[-1].start()
            code = _watch(processes, grace)
    finally:
        for process in processes:
            process.kill()  # does nothing to those that have ended
    for reader in readers:
        reader.join()
    return code


def free_addresses(count):
    """Addresses of this machine that nothing listens at."""
    with contextlib.ExitStack() as held:  # all at once, or the same port might come twice
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def worker_environment(addresses, worker):
    """The environment of a process that is one of the workers at `addresses`."""
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
    return {**os.environ, "TF_CONFIG": json.dumps(task)}


def _start(addresses, worker, arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tfcnns.train", "--strategy=multiworker", *arguments],
        env={**worker_environment(addresses, worker), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C comes to them through us, once
    )


def _forward(worker, process):
    with process.stdout:
        for line in process.stdout:
            print(f"[{worker}] {line}", end="", flush=True)


def _watch(processes, grace):
    """Waits for all; the first failure gives the rest `grace` seconds."""
    code, deadline, ends = 0, None, [None]
    while None in ends:
        ends = [process.poll() for process in processes]
        failed = [worker for worker, end in enumerate(ends) if end]
        if failed and deadline is None:
            deadline = time.monotonic() + grace
            code = _say_how(failed[0], ends[failed[0]])
        if deadline is not None and time.monotonic() > deadline:
            print(f"the others did not end within {grace:g} s and are killed", flush=True)
            break
        time.sleep(0.1)
    return code


def _say_how(worker, code):
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    print(f"worker {worker} {how}", flush=True)
    return _exit_code(code)


def _exit_code(code):
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _signals_to(processes):
    """Sends Ctrl-C and SIGTERM on to all workers, which save and stop together."""

    def forward(number, frame):
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, forward)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
