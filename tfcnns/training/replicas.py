"""What a replica's training step has to know of the others, so that many train as one.

`fit` of Keras 3 does nothing of this under `tf.distribute`; the strategies of `make_strategy`
do, at each training step. With n samples on one of R replicas, of N on all:

    loss      Keras takes the mean over n and sums the gradients of mean / R. Times n R / N,
              which is 1 unless the batch is split unevenly, that sum is the gradient of the
              mean over N. The logged loss is weighed by n already and stays as it is.
    finite    under mixed_float16 a step is left out when a gradient overflows. Keras asks the
              first replica alone; here one replica's overflow leaves the step out for all.
    noise     the layers of this package are told where in the global batch a replica's part
              begins, and draw for each sample what one device would draw for it
              (`tfcnns.layers.draws`).

It holds for losses that are means over samples, which Keras' are unless reduction="sum".
Regularisation, which doesn't depend on n, comes out right as well: the n R / N sum to R.
"""

import contextlib
import threading

import keras
import tensorflow as tf

from tfcnns.layers.draws import SampleSeeds, samples_from


@contextlib.contextmanager
def as_one(model):
    """While a training step of `model` is traced or run; yields what to wrap the step in."""
    optimizer = model.optimizer
    own = threading.local()  # replicas are traced in threads of their own
    scale_loss = optimizer.scale_loss

    def weighed(loss):
        return scale_loss(loss) * tf.cast(own.weight, loss.dtype)

    def wrap(step):
        def step_with_weight(data):
            own.weight, first = replica_part(batch_size(data))
            with samples_from(first):
                return step(data)

        return step_with_weight

    optimizer.scale_loss = weighed
    check_finite = getattr(optimizer, "check_finite", None)
    if check_finite is not None:
        optimizer.check_finite = lambda gradients: everywhere(check_finite(gradients))
    try:
        yield wrap
    finally:
        del optimizer.scale_loss
        if check_finite is not None:
            del optimizer.check_finite


def batch_size(data):
    """Samples in one replica's batch, an int32 scalar."""
    return tf.shape(next(x for x in keras.tree.flatten(data) if x is not None))[0]


def replica_part(samples):
    """n R / N of this replica, 0 for one without samples, and the place of its first sample in
    the global batch. In replica context."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    here = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=tf.int32)
    counts = context.all_reduce(tf.distribute.ReduceOp.SUM, here * samples)
    weight = tf.cast(samples * replicas, tf.float32)
    weight = tf.math.divide_no_nan(weight, tf.cast(tf.reduce_sum(counts), tf.float32))
    return weight, tf.reduce_sum(counts[: context.replica_id_in_sync_group])


def everywhere(true):
    """Whether a boolean scalar is true on every replica. In replica context."""
    false = tf.cast(tf.logical_not(true), tf.float32)
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, false) == 0


@contextlib.contextmanager
def own_seeds():
    """While replicas are traced or run: Keras' random layers draw on each of them what is its own.

    Their generators keep one state for all replicas, which would all draw the same: the
    replica's number goes into the seed. A step of one replica draws what it would without this.
    """
    stock = keras.random.SeedGenerator.next

    def own(generator, ordered=True):
        seed = stock(generator, ordered)
        context = tf.distribute.get_replica_context()
        alone = context is None or context.num_replicas_in_sync == 1
        if alone or isinstance(generator, SampleSeeds):
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return tf.random.experimental.stateless_fold_in(seed, replica)

    keras.random.SeedGenerator.next = own
    try:
        yield
    finally:
        keras.random.SeedGenerator.next = stock
