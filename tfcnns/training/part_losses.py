"""Losses of a part of the batch whose mean over the parts is the loss of the whole batch.

Parts are weighed by their samples, n / N. That suits a loss which divides by n, as Keras' do
unless they are told otherwise. The others divide by something that one part has more of for each
sample than another:

    windows with an object, of this package's losses: their `terms(y_true)`
    what a mask or `ignore_class` leaves
    weights, with reduction="mean_with_sample_weight"

They are multiplied by its mean over the part's samples and divided by that over all. A loss with
reduction="sum" divides by nothing: it is multiplied by N / (n R).
"""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from tfcnns.training import parts
from tfcnns.training.changed import changed


@contextlib.contextmanager
def of_parts(model):
    """While it lasts, `model`'s compiled losses, and the metrics that log each, are of parts."""
    with contextlib.ExitStack() as changes:
        compiled = model._compile_loss
        if compiled is not None:
            losses = [
                entry._replace(loss=_of_part(number, entry.loss))
                for number, entry in enumerate(compiled._flat_losses)
            ]
            changes.enter_context(changed(compiled, _flat_losses=losses))
            for metric in compiled.metrics:
                update = _weighed(metric.update_state)
                changes.enter_context(changed(metric, update_state=update))
        yield


def learn(model, y, sample_weight):
    """The `Part` that `here()` is, as passes over these labels and weights have to know it.

    Keras itself, asked for the loss of some outputs, finds the labels and weights of each output.
    """
    part = dataclasses.replace(parts.here(), known={}, learning=True)
    compiled = model._compile_loss
    if compiled is not None:
        like = compiled._y_pred_build_structure
        with parts.at(part):
            compiled(y, keras.tree.map_structure(lambda _: tf.zeros((1,)), like), sample_weight)
    return dataclasses.replace(part, learning=False)


def _weighed(update):
    def update_state(value, sample_weight=None):
        if not parts.here().learning:
            update(value, sample_weight=parts.here().weight)

    return update_state


def _of_part(number, loss):
    def of_part(y_true, y_pred, sample_weight=None):
        part = parts.here()
        mask = getattr(y_pred, "_keras_mask", None)
        sums = _divisors(loss, y_true, mask, sample_weight)
        means = part.known.get(number) if part.known is not None else None
        if means is None:
            means = [parts.over_replicas(own) / part.total for own in sums]
        if part.learning:
            part.known[number] = means
            return tf.zeros(())
        if part.known is not None and mask is not None:
            raise ValueError(
                "Expected outputs without a mask, for a batch that is worked on in passes: what "
                f"each leaves out would be known too late. Received: a mask for {loss.name}"
            )
        factor = 1.0 if loss.reduction != "sum" else tf.math.divide_no_nan(1.0, part.weight)
        for own, mean in zip(sums, means, strict=True):
            factor *= tf.math.divide_no_nan(own, part.samples * mean)
        value = loss(y_true, y_pred, sample_weight)
        return value * tf.cast(factor, value.dtype)

    return of_part


def _divisors(loss, y_true, mask, sample_weight):
    """Sums over the samples that `loss` divides by, where it isn't their number; float32."""
    if loss.reduction in (None, "none"):
        raise ValueError(
            "Expected losses with a reduction, for a batch that is worked on in parts. "
            f"Received: {loss.name} with reduction={loss.reduction!r}"
        )
    found = []
    if hasattr(loss, "terms"):
        found.append(_sum(loss.terms(y_true)))
    if getattr(loss, "ignore_class", None) is not None:
        kept = tf.cast(y_true, tf.float32) != loss.ignore_class
        mask = kept if mask is None else tf.logical_and(*_same_rank(mask, kept))
    weights = sample_weight if loss.reduction == "mean_with_sample_weight" else None
    if loss.reduction == "sum" or (mask is None and weights is None):
        return found
    if mask is None or weights is None:
        return [*found, _sum(weights if mask is None else mask)]
    return [*found, _sum(tf.multiply(*_same_rank(_float(mask), _float(weights))))]


def _same_rank(*tensors):
    """With a last axis of length one more or less, as Keras allows."""
    rank = min(len(t.shape) for t in tensors)
    return [tf.squeeze(t, -1) if len(t.shape) > rank else t for t in tensors]


def _sum(x):
    return tf.reduce_sum(_float(x))


def _float(x):
    return tf.cast(x, tf.float32)
