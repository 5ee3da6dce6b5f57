"""What a replica's training step has to know of the others, so that many train as one.

`fit` of Keras 3 does nothing of this under `tf.distribute`; the strategies of `make_strategy`
do, at each step of training and evaluation. With n samples on one of R replicas, of N on all:

    loss      Keras takes the mean over n and sums the gradients of mean / R. Times n R / N,
              which is 1 unless the batch is split unevenly, that sum is the gradient of the
              mean over N. The logged loss is weighed by n already and stays as it is.
    losses    that aren't means over samples are made so first: see `part_losses`.
    update    what is done to each gradient is done to the sum: see `replica_updates`.
    noise     the layers of this package are told where in the global batch a replica's part
              begins, and draw for each sample what one device would draw for it
              (`tfcnns.layers.draws`).

What layers add to the loss with `add_loss` is taken for a mean over samples, as Keras' activity
regularisation is. Regularisation, which doesn't depend on n, comes out right as well: the
n R / N sum to R.
"""

import contextlib

import keras
import tensorflow as tf

from tfcnns.layers.draws import SampleSeeds, samples_from
from tfcnns.training import part_losses, parts, replica_updates
from tfcnns.training.changed import changed


@contextlib.contextmanager
def as_one(model, replicas=1):
    """While a step of `model` is traced or run; yields what to wrap the step in."""
    optimizer = model.optimizer

    def wrap(step):
        def step_of_part(data):
            part, first = parts.of_replica(batch_size(data))
            with parts.at(part), samples_from(first):
                return step(data)

        return step_of_part

    with part_losses.of_parts(model), contextlib.ExitStack() as changes:
        if optimizer is not None:
            scale_loss = optimizer.scale_loss

            def weighed(loss):
                return scale_loss(loss) * tf.cast(parts.here().weight, loss.dtype)

            changes.enter_context(changed(optimizer, scale_loss=weighed))
            if replicas > 1:
                changes.enter_context(replica_updates.of_all(optimizer))
        yield wrap


def batch_size(data):
    """Samples in one replica's batch, an int32 scalar."""
    return tf.shape(next(x for x in keras.tree.flatten(data) if x is not None))[0]


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

    with changed(keras.random.SeedGenerator, next=own):
        yield
