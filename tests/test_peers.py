"""A process ends, and says why, when one that it can't do without is gone."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys

import pytest

from tfcnns import launch
from tfcnns.training import peers
from tfcnns.training.cluster import Cluster

ROOT = pathlib.Path(__file__).parents[1]

# One of the workers; it looks at the others `every` seconds, and in any case when a line comes in.
WORKER = """
import json, socket, sys
from tfcnns.training import peers
from tfcnns.training.cluster import Cluster
addresses, me, services, every = json.loads(sys.argv[1])
peers._EVERY = every
host, port = addresses[me].split(":")
with socket.create_server((host, int(port))):
    print("listening", flush=True)
    sys.stdin.readline()
    watch = peers.Watch(Cluster(tuple(addresses), me), services)
    watch.start()
    print("watching", flush=True)
    sys.stdin.readline()
    watch.look()
    sys.stdin.readline()
"""


@contextlib.contextmanager
def workers(count, services=(), every=0.1):
    """Processes that watch each other."""
    addresses = launch.free_addresses(count)
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as stack:
        processes = []
        for me in range(count):
            told = json.dumps([addresses, me, services, every])
            command = [sys.executable, "-c", WORKER, told]
            process = stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
            )
            stack.callback(process.kill)
            processes.append(process)
        for line in ("listening\n", "watching\n"):
            for process in processes:
                assert process.stdout.readline() == line
            for process in processes if line == "listening\n" else ():
                go_on(process)
        yield processes, addresses


def go_on(process):
    print(file=process.stdin, flush=True)


def test_all_others_name_the_one_that_was_killed():
    with workers(4) as (processes, addresses):
        processes.pop(2).kill()
        for process in processes:
            assert process.stderr.read() == (
                f"error: worker 2 ({addresses[2]}) is gone; start all workers again, with "
                "--resume, to go on from the last checkpoint\n"
            )
            assert process.wait() == peers.LOST


def test_a_data_service_that_is_gone_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        service = f"grpc://127.0.0.1:{server.getsockname()[1]}"
        with workers(1, [service]) as ((process,), _):
            server.close()
            assert process.stderr.read() == (
                f"error: data service {service} is gone; start it again, and then the training, "
                "with --resume, to go on from the last checkpoint\n"
            )
            assert process.wait() == peers.LOST


def test_an_error_has_the_others_looked_at_at_once():
    with workers(2, every=60) as ((first, second), addresses):
        second.kill()
        second.wait()
        go_on(first)
        assert f"error: worker 1 ({addresses[1]}) is gone" in first.stderr.readline()


def test_an_error_with_all_others_there_is_this_process_own():
    with workers(2) as ((first, second), _):
        for _ in range(2):
            go_on(first)
        assert first.wait() == 0
        assert not first.stderr.read()
        assert "error: worker 0" in second.stderr.readline()


def test_in_the_end_the_others_may_go():
    watch = peers.Watch(Cluster(("127.0.0.1:1", "127.0.0.1:2")))
    watch.stop()
    watch.look()


def test_alone_there_is_nobody_to_look_at():
    watch = peers.Watch(Cluster())
    watch.start()
    watch.look()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host.invalid:80"])
def test_nothing_answers(address):
    assert not peers.answers(address)
