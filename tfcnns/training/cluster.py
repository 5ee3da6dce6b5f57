"""Which processes train together, and which of them this one is: TensorFlow's TF_CONFIG."""

import contextlib
import dataclasses
import json
import os
import re
import socket
import sys
import threading

from tfcnns.errors import UserError

LOST = 75  # exit code of a worker that has lost another: sysexits.h's "try again"
_EVERY = 2.0  # seconds between two looks at the others
_TIMEOUT = 5.0  # seconds in which a machine has to accept a connection
_PATIENCE = 3  # looks in a row that have to fail


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of one training.

    Attributes:
        addresses: "host:port" of each worker, the chief first.
        worker: which of them this process is.
    """

    addresses: tuple = ("",)
    worker: int = 0

    @property
    def workers(self):
        return len(self.addresses)

    @property
    def is_chief(self):
        """Whether this is the one process that writes the run."""
        return self.worker == 0


def this(environment=os.environ):
    """The cluster that TF_CONFIG describes.

    Raises:
        UserError: it isn't set, or isn't the JSON that TensorFlow documents.
    """
    text = environment.get("TF_CONFIG")
    if not text:
        raise UserError(
            "strategy multiworker reads the workers' addresses from the environment's TF_CONFIG, "
            "which is not set; python -m tfcnns.launch sets it for workers on this machine"
        )
    try:
        config = json.loads(text)
        jobs = config["cluster"]
        chief, others = jobs.get("chief", []), jobs["worker"]
        if not (isinstance(chief, list) and isinstance(others, list)):
            raise ValueError("the addresses of a job are no list")
        addresses = (*chief, *others)
        for address in addresses:
            if not re.fullmatch(r".+:\d+", address):
                raise ValueError(f"{address!r} is not host:port")
        job, index = config["task"]["type"], int(config["task"]["index"])
        own = {"chief": chief, "worker": others}.get(job, [])
        if not 0 <= index < len(own):
            raise ValueError(f"task {job} {index} is not in the cluster")
        worker = index + (len(chief) if job == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}. Received: {text} ({error})'
        ) from None
    return Cluster(addresses, worker)


@contextlib.contextmanager
def watching(cluster):
    """Ends this process, with a line that says why, should another one of `cluster` be gone.

    Without it the others learn from TensorFlow, some time later and in many lines, that some
    collective operation has failed, or wait for ever. Yields a function to call after an error: it
    returns only if all others are still there, so that the error is this process' own.
    """
    others = [(w, address) for w, address in enumerate(cluster.addresses) if w != cluster.worker]
    stop = threading.Event()
    rounds = threading.Semaphore(0)

    def watch():
        failures = dict.fromkeys(others, 0)
        while not stop.wait(_EVERY):
            for other in others:
                failures[other] = 0 if answers(other[1]) else failures[other] + 1
                if failures[other] == _PATIENCE:
                    _end(*other)
            rounds.release()

    def blame():
        while rounds.acquire(blocking=False):
            pass
        for _ in range(_PATIENCE + 1 if others else 0):
            rounds.acquire()

    if others:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield blame
    finally:
        stop.set()


def answers(address):
    """Whether something listens at "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT).close()
    except OSError:
        return False
    return True


def _end(worker, address):
    sys.stdout.flush()
    print(
        f"error: worker {worker} ({address}) is gone; start all workers again, with --resume, "
        "to go on from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(LOST)  # the main thread may wait in TensorFlow for the worker that is gone
