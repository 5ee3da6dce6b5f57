"""A batch in several passes: the update of the whole batch with the memory of a part of it."""

import types

import keras
import tensorflow as tf

from tfcnns.layers.draws import first_sample, samples_from
from tfcnns.training.replicas import batch_size


def accumulate(model, passes):
    """Makes `fit` work through each batch in `passes` parts, one after the other.

    The parts' gradients are added up, each weighed by its share of the samples, and the optimiser
    makes one update, as it would for the whole batch. Steps, schedules and checkpoints are those
    of whole batches: a paper's batch of 128 stays one, where only 32 fit into memory. That is
    unlike `gradient_accumulation_steps` of Keras' optimisers, which counts every part as a step and
    raises under MirroredStrategy; it works on every replica of `make_strategy`'s strategies.

    The layers of this package draw for each sample what they would for the whole batch; Keras' own
    random layers draw anew in each pass. Not for layers that look at the batch as a whole (batch
    normalisation sees the part).

    Args:
        model: compiled keras.Model, whose training step is Keras' own.
        passes: parts of each (replica's) batch; parts of a small batch may be empty.
    """
    if passes < 1:
        raise ValueError(f"Expected passes >= 1. Received: passes={passes}")
    if passes > 1:
        model.train_step = types.MethodType(_in_passes(passes), model)


def _in_passes(passes):
    def train_step(model, data):
        samples = batch_size(data)
        weights = model.trainable_variables
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        (log,) = [metric for metric in model.metrics if metric.name == "loss"]

        drawn = {}  # how often each generator of random numbers is asked in a pass

        def one_pass(i, sums):
            drawn.clear()
            start, stop = samples * i // passes, samples * (i + 1) // passes
            part = keras.tree.map_structure(lambda t: None if t is None else t[start:stop], data)
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(part)
            share = tf.math.divide_no_nan(
                tf.cast(stop - start, tf.float32), tf.cast(samples, tf.float32)
            )
            with tf.GradientTape() as tape:
                with samples_from(first_sample(samples) + start, drawn):
                    y_pred = model(x, training=True)
                loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
                scaled = model.optimizer.scale_loss(loss) * tf.cast(share, loss.dtype)
            log.update_state(loss * replicas, sample_weight=stop - start)
            model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
            gradients = tape.gradient(scaled, weights, unconnected_gradients="zero")
            return i + 1, [a + tf.cast(g, a.dtype) for a, g in zip(sums, gradients, strict=True)]

        sums = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
        _, gradients = tf.while_loop(
            lambda i, _: i < passes, one_pass, (tf.constant(0), sums), parallel_iterations=1
        )
        for generator, draws in drawn.items():
            generator.advance(draws)
        model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return model.get_metrics_result()

    return train_step
