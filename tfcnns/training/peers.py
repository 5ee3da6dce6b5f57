"""The other processes that a training can't do without, and what it does when one is gone."""

import os
import socket
import sys
import threading
import time

LOST = 75  # exit code of a process that has lost another: sysexits.h's "try again"
_EVERY = 1.0  # seconds between two looks at the others
_ATTEMPTS = 3  # to connect, all of which have to fail
_PAUSE = 0.25  # seconds between two attempts: less than a process needs to start anew
_TIMEOUT = 5.0  # seconds in which a machine has to accept a connection
# Seconds in which one that ends still answers, so that those who look later don't name it in the
# place of the one that it has lost.
_LINGER = 3.0


class Watch:
    """Ends this process, with a line that says why, should one that it needs be gone.

    Without it the others learn from TensorFlow, some time later and in many lines, that some
    collective operation has failed, or wait for ever.

    Args:
        cluster: the `Cluster` whose other workers are watched.
        services: "grpc://host:port" of the tf.data services that make this process' batches.
    """

    def __init__(self, cluster, services=()):
        self._needed = [
            (address, f"worker {worker} ({address}) is gone; start all workers again")
            for worker, address in enumerate(cluster.addresses)
            if worker != cluster.worker
        ]
        for service in services:
            line = f"data service {service} is gone; start it again, and then the training"
            self._needed.append((service.removeprefix("grpc://"), line))
        self._stopped = threading.Event()
        self._one_at_a_time = threading.Lock()

    def start(self):
        """Looks from now on, every second."""
        if self._needed:
            threading.Thread(target=self._go_on, daemon=True).start()

    def stop(self):
        """From now on the others may go."""
        self._stopped.set()

    def look(self):
        """Looks now: after an error, which is this process' own if this returns."""
        with self._one_at_a_time:
            for address, line in self._needed:
                if _is_gone(address) and not self._stopped.is_set():
                    _end(line)

    def _go_on(self):
        while not self._stopped.wait(_EVERY):
            self.look()


def answers(address):
    """Whether something listens at "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT).close()
    except OSError:
        return False
    return True


def _is_gone(address):
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        if answers(address):
            return False
    return True


def _end(line):
    sys.stdout.flush()
    message = f"error: {line}, with --resume, to go on from the last checkpoint"
    print(message, file=sys.stderr, flush=True)
    time.sleep(_LINGER)
    os._exit(LOST)  # the main thread may wait in TensorFlow for the process that is gone
