"""python -m tfcnns.data_service: makes batches for trainings on other machines."""

import queue
import signal

from absl import flags

from tfcnns import cli
from tfcnns.errors import UserError

USAGE = """\
Runs TensorFlow's tf.data service, a dispatcher with one worker, until it is stopped. Trainings
that name it have their batches made here.

  python -m tfcnns.data_service --port=5050
  python -m tfcnns.train --recipe=nin_digits --out=runs/digits --data_service=grpc://HOST:5050
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_integer("port", 5050, "of the dispatcher; 0: a free one", lower_bound=0, **_own)
flags.DEFINE_string("host", "localhost", "name of this machine for the trainings", **_own)


def main(rest):
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    cli.start_tensorflow(FLAGS.verbosity)
    servers = serve(FLAGS.port, FLAGS.host)
    stopped = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.put(number))
    print(f"serving batches at grpc://{FLAGS.host}:{servers[0].target.rpartition(':')[2]}")
    print("trainings reach it with --data_service; Ctrl-C stops it", flush=True)
    return 128 + stopped.get()


def serve(port=0, host="localhost"):
    """A dispatcher and its one worker, which serve for as long as they are kept.

    Args:
        port: of the dispatcher; 0: a free one, which its `target` tells.
        host: name or address of this machine, as those who read can reach it.
    """
    from tensorflow.data.experimental import service

    try:
        dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    except Exception as error:
        raise UserError(f"--port={port}: {error}") from error
    at = dispatcher.target.rpartition("://")[2]
    config = service.WorkerConfig(dispatcher_address=at, worker_address=f"{host}:%port%")
    return dispatcher, service.WorkerServer(config)


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
