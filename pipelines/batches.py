"""A random-access source as a stream of batches that is the same however it is run.

What sample n looks like in epoch e, and which batch it is in, follow from (seed, e, n)
alone: not from threads, from the step one starts at, nor from the number of workers.
"""

import numpy as np
import tensorflow as tf

from tfcnns.errors import UserError


def steps_per_epoch(examples, batch_size):
    """Batches that show every example once; the last may be smaller."""
    return -(-examples // batch_size)


def batches(
    example,
    examples,
    batch_size,
    *,
    seed=0,
    shuffle=False,
    epochs=1,
    first_step=0,
    worker=0,
    workers=1,
):
    """Global batches first_step, first_step + 1, ... of `epochs` epochs.

    Args:
        example: function (index, seed) -> tensor, or tuple or dict of tensors, of known
            shape, such as (image, label); called inside tf.data for one sample. index:
            int64 scalar, 0 <= index < examples. seed: int32 (2,), its own in every epoch,
            for stateless random numbers.
        examples: how many samples there are.
        batch_size: size of the global batch, over all workers. Where it doesn't divide
            `examples`, the last batch of each epoch is smaller.
        seed: any Python integer.
        shuffle: whether each epoch has an order of its own; else it is 0, 1, 2, ... An order
            is held in memory, 8 bytes a sample.
        epochs: the stream ends after epochs * steps_per_epoch(examples, batch_size) steps.
        first_step: the global step to start at; costs the same wherever it is. With the
            number of all steps, nothing is left and the stream is empty.
        worker, workers: yield part `worker` of `workers` of each batch; the parts in order
            are the batch. Those of a smaller last batch differ by one at most and may be
            empty.

    Returns: tf.data.Dataset of known cardinality, epochs * steps_per_epoch - first_step.
    Raises: UserError, naming the argument and its value.

    Example:
        images, labels = tf.constant(images), tf.constant(labels)  # once, not per sample
        def example(index, seed):
            return scale(random_shift(images[index], 2, seed)), labels[index]
        model.fit(batches(example, len(images), 128, shuffle=True), shuffle=False)
    """
    _check(examples, batch_size, epochs, first_step, worker, workers)
    steps = steps_per_epoch(examples, batch_size)
    words = np.array([seed % 2**64], np.uint64).view(np.int32)

    def plan(epoch):
        """For each step of an epoch: the indices of this worker's part, the epoch's key."""
        epoch_seed = tf.random.experimental.stateless_fold_in(words, epoch)
        keys = tf.random.stateless_uniform([3], epoch_seed, None, None, tf.int32)
        order = tf.range(examples, dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, keys[:2])

        def part(step):
            first = step * batch_size
            size = tf.minimum(first + batch_size, examples) - first
            start, stop = size * worker // workers, size * (worker + 1) // workers
            return order[first + start : first + stop], keys[2]

        return tf.data.Dataset.range(tf.maximum(first_step - epoch * steps, 0), steps).map(part)

    def batch(indices, key):
        if examples % batch_size == 0:
            indices = tf.ensure_shape(indices, [batch_size // workers])
        number = tf.cast(indices, tf.int32)
        seeds = tf.stack([tf.fill(tf.shape(number), key), number], axis=1)
        return tf.map_fn(call, (indices, seeds), fn_output_signature=signature)

    def call(arguments):
        return example(*arguments)

    one = tf.data.Dataset.from_tensors((np.int64(0), np.zeros(2, np.int32)))
    signature = one.map(example).element_spec
    # The order of an epoch is drawn at once, 0.4 ms for 50,000 examples and 11 ms for
    # ImageNet, and not place by place with tf.random.experimental.index_shuffle: its 4 rounds
    # leave neighbours and successive epochs correlated (by about .2 at 50,000 examples), and of
    # 4**k + 1 examples, k > 7, it repeats one and omits one (TensorFlow 2.21).
    dataset = tf.data.Dataset.range(first_step // steps, epochs).flat_map(plan)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(epochs * steps - first_step))
    # A whole batch per call, and a loop over its samples inside: a smaller batch and a part
    # of one need no special case, and it is about twice as fast as map per sample + batch.
    dataset = dataset.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def split_batches(example, examples, config, split, worker=0, workers=1, batch_size=None):
    """`batches` of one split as a recipe's config has them.

    Args:
        example, examples, worker, workers: as for `batches`.
        config: dict with batch_size, seed, epochs and first_step.
        split: "train" is shuffled, for all epochs and from `first_step` on; others come once, in
            their order, in batches that are no larger than they are many.
        batch_size: another one than the config's, or None.

    Returns, Raises: as `batches`.
    """
    train = split == "train"
    size = config["batch_size"] if batch_size is None else batch_size
    if not train:
        size = max(min(size, examples) // workers, 1) * workers
    return batches(
        example,
        examples,
        size,
        seed=config["seed"],
        shuffle=train,
        epochs=config["epochs"] if train else 1,
        first_step=config["first_step"] if train else 0,
        worker=worker,
        workers=workers,
    )


def _check(examples, batch_size, epochs, first_step, worker, workers):
    counts = {"examples": examples, "batch_size": batch_size, "epochs": epochs, "workers": workers}
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1. Received: {name}={value}")
    if batch_size > examples:
        raise UserError(
            f"batch_size must be at most the number of examples, {examples}. "
            f"Received: batch_size={batch_size}"
        )
    if batch_size % workers:
        raise UserError(
            f"batch_size must be a multiple of the number of workers, {workers}. "
            f"Received: batch_size={batch_size}"
        )
    if not 0 <= worker < workers:
        raise UserError(f"worker must be in 0..{workers - 1}. Received: worker={worker}")
    last = epochs * steps_per_epoch(examples, batch_size)
    if not 0 <= first_step <= last:
        raise UserError(f"first_step must be in 0..{last}. Received: first_step={first_step}")
