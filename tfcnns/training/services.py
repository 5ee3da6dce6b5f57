"""tf.data services: processes on other machines that make a training's batches."""

import queue
import re
import threading

import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.training.peers import answers


def served(make, services, worker, workers):
    """`make(worker, workers)`, made by tf.data services where there are any.

    Service k of K makes part k of K of this worker's part, in order, and the parts are joined
    here: batches are the same as without services, whatever their number.

    Args:
        make, worker, workers: see `Crew.dataset`.
        services: addresses such as "grpc://host:5050" of dispatchers with one tf.data worker.
    """
    if not services:
        return make(worker, workers)
    count = len(services)
    parts = [make(worker * count + k, workers * count) for k in range(count)]
    if parts[0] is None:
        return None
    batches = parts[0].cardinality()
    remote = tuple(_made_by(service, part) for part, service in zip(parts, services, strict=True))
    dataset = tf.data.Dataset.zip(remote).map(
        lambda *parts: tf.nest.map_structure(lambda *x: tf.concat(x, 0), *parts)
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def check_there(services):
    """Raises UserError unless something listens at each; TensorFlow would wait without a word."""
    for service in services:
        if not re.fullmatch(r"grpc://.+:\d+", service):
            raise UserError(f"--data_service: expected grpc://host:port. Received: {service}")
        if not answers(service.removeprefix("grpc://")):
            raise UserError(
                f"--data_service: nothing answers at {service}; "
                "start python -m tfcnns.data_service there first"
            )


def check_readable(services, limit=30.0):
    """Raises UserError unless a number that each makes arrives here within `limit` seconds.

    A service says where its worker is, which may be a name that means nothing to this machine,
    or this machine itself; TensorFlow would try it for ever, without a word.
    """
    for service in services:
        ended = queue.Queue()
        threading.Thread(target=_read_one, args=(service, ended), daemon=True).start()
        try:
            error = ended.get(timeout=limit)
        except queue.Empty:
            raise UserError(
                f"--data_service: {service} answers, but what it makes doesn't arrive: start "
                "python -m tfcnns.data_service with --host=NAME, its machine's name for this one"
            ) from None
        if error is not None:
            raise UserError(f"--data_service: {service}: {error.message}") from error


def _read_one(service, ended):
    error = None
    try:
        list(_made_by(service, tf.data.Dataset.range(1)))
    except tf.errors.OpError as raised:
        error = raised
    ended.put(error)


def _made_by(service, dataset):
    return dataset.apply(tf.data.experimental.service.distribute("parallel_epochs", service))
