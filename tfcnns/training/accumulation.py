"""A batch in several passes: the update of the whole batch with the memory of a part of it."""

import dataclasses
import types

import keras
import tensorflow as tf

from tfcnns.layers.draws import first_sample, samples_from
from tfcnns.training import part_losses, parts
from tfcnns.training.replicas import as_one, batch_size


def accumulate(model, passes):
    """Makes `fit` work through each batch in `passes` parts, one after the other.

    The parts' gradients are added up, each weighed by its share of the samples, and the optimiser
    makes one update, as it would for the whole batch. Steps, schedules and checkpoints are those
    of whole batches: a paper's batch of 128 stays one, where only 32 fit into memory. That is
    unlike `gradient_accumulation_steps` of Keras' optimisers, which counts every part as a step and
    raises under MirroredStrategy; it works on every replica of `make_strategy`'s strategies.

    Losses come out as the whole batch's, whatever they divide by (`part_losses`), but for outputs
    with a mask, which are refused. The layers of this package draw for each sample what they would
    for the whole batch; Keras' own random layers draw anew in each pass. Not for layers that look
    at the batch as a whole (batch normalisation sees the part).

    Args:
        model: compiled keras.Model, whose training step is Keras' own.
        passes: parts of each (replica's) batch; parts of a small batch may be empty.
    """
    if passes < 1:
        raise ValueError(f"Expected passes >= 1. Received: passes={passes}")
    if passes > 1:
        model.train_step = types.MethodType(_in_passes(passes), model)


def _in_passes(passes):
    def of_part(model, data):
        samples = batch_size(data)
        weights = model.trainable_variables
        (log,) = [metric for metric in model.metrics if metric.name == "loss"]
        _, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        whole = part_losses.learn(model, y, sample_weight)

        drawn = {}  # how often each generator of random numbers is asked in a pass

        def one_pass(i, sums):
            drawn.clear()
            start, stop = samples * i // passes, samples * (i + 1) // passes
            part = keras.tree.map_structure(lambda t: None if t is None else t[start:stop], data)
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(part)
            count = stop - start
            here = dataclasses.replace(whole, samples=tf.cast(count, tf.float32))
            with parts.at(here), samples_from(first_sample(samples) + start, drawn):
                with tf.GradientTape() as tape:
                    y_pred = model(x, training=True)
                    loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
                    scaled = model.optimizer.scale_loss(loss)
                log.update_state(loss * whole.replicas, sample_weight=count)
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

    def train_step(model, data):
        if parts.here() is not None:  # of a replica
            return of_part(model, data)
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise ValueError(
                "Expected a strategy of make_strategy, for a batch that is worked on in passes. "
                f"Received: {type(tf.distribute.get_strategy()).__name__}"
            )
        model._symbolic_build(data_batch=data)  # losses have to be known before the first pass
        with as_one(model) as wrap:
            return wrap(lambda data: of_part(model, data))(data)

    return train_step
