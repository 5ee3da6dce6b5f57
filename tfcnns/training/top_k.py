"""Which guesses are right: one rule for what is logged in training, evaluated and predicted."""

import keras
import numpy as np
from keras import ops


def ranking(scores):
    """Classes by their scores (..., classes), best first: of equal ones the lower number first."""
    return np.argsort(-scores, axis=-1, kind="stable")


def place(labels, scores):
    """The place of the true class in `ranking`, (...) int32; 0 where the best guess is right.

    Where a score is no number nothing is right: the place is then the number of classes.

    Args:
        labels: (...) int, from 0 to classes - 1.
        scores: (..., classes).
    """
    classes = scores.shape[-1]
    true = ops.expand_dims(ops.cast(labels, "int32"), -1)
    chosen = ops.take_along_axis(scores, true, axis=-1)
    equal_before = ops.logical_and(scores == chosen, ops.arange(classes, dtype="int32") < true)
    before = ops.logical_or(scores > chosen, equal_before)
    count = ops.sum(ops.cast(before, "int32"), axis=-1)
    return ops.where(ops.all(ops.isfinite(scores), axis=-1), count, classes)


@keras.saving.register_keras_serializable(package="tfcnns")
def top5_accuracy(y_true, y_pred):
    """Whether the true class is among the five best, (...) float32: a metric to compile with.

    `keras.metrics.SparseTopKCategoricalAccuracy` takes every class that ties with the fifth for
    one of the five: a dead net, which says the same of all classes, would always be right.

    Args:
        y_true: (...) or (..., 1) int, numbers of classes.
        y_pred: (..., classes).
    """
    labels = ops.reshape(y_true, ops.shape(y_pred)[:-1])
    return ops.cast(place(labels, y_pred) < 5, "float32")
