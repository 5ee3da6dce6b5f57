"""The part of the global batch that is worked on: a replica's, or a pass's of a replica's."""

import contextlib
import dataclasses
import threading

import tensorflow as tf

_here = threading.local()  # replicas are traced in threads of their own


@dataclasses.dataclass
class Part:
    """n samples out of N, on one of R replicas.

    Attributes:
        samples, total: n and N, float32 scalars.
        replicas: R.
        known: what losses had to learn of the whole batch before its first pass, by their number,
            or None where they can still ask the other replicas (`part_losses`).
        learning: whether they learn it now.
    """

    samples: tf.Tensor
    total: tf.Tensor
    replicas: int
    known: dict | None = None
    learning: bool = False

    @property
    def weight(self):
        """n R / N, which the loss's gradient is multiplied by; Keras has it divided by R."""
        return tf.math.divide_no_nan(self.samples * self.replicas, self.total)


def here():
    """The `Part` that this thread works on, or None."""
    return getattr(_here, "part", None)


@contextlib.contextmanager
def at(part):
    """Makes `part` the one that this thread works on."""
    before = here()
    _here.part = part
    try:
        yield part
    finally:
        _here.part = before


def of_replica(samples):
    """The part of this replica, of so many samples, and the place of its first in the global batch.

    In replica context.
    """
    context = tf.distribute.get_replica_context()
    replicas, replica = context.num_replicas_in_sync, context.replica_id_in_sync_group
    counts = over_replicas(tf.one_hot(replica, replicas, dtype=tf.int32) * samples)
    total = tf.cast(tf.reduce_sum(counts), tf.float32)
    return Part(tf.cast(samples, tf.float32), total, replicas), tf.reduce_sum(counts[:replica])


def over_replicas(value):
    """The sum of a tensor over all replicas. In replica context, outside of loops."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
