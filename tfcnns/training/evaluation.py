"""What a classifier gets right and wrong on labelled images."""

import numpy as np
import tensorflow as tf
from keras import ops

from tfcnns.errors import UserError
from tfcnns.training.top_k import place

UNLABELLED = -1  # the label of an image that is of no class, or of none that is known
_SUM = 0.02  # by which a row may miss 1: half precision, averages over views
_SAME = 1e-6  # differences that the size of a batch makes


def predict(model, dataset):
    """All labels and class scores of a dataset, in its order.

    Args:
        model: compiled keras.Model, images -> (N, classes), or (N, h, w, classes), of which
            the mean over positions is taken.
        dataset: of (images, labels) batches; images (N, H, W, C), or (N, views, H, W, C),
            such as ten crops of each, whose scores are averaged as in AlexNet's section 4.1;
            labels (N,), with any further axes of size one, or one-hot.

    Returns:
        labels (N,) int64 and scores (N, classes) float32, NumPy.

    Raises:
        UserError: a model with several outputs, or labels that aren't numbers of classes.
    """
    labels, scores = [], []
    for images, truth in dataset:
        count = len(images)
        views = images.shape[1] if len(images.shape) == 5 else 1
        if views > 1:
            images = np.reshape(images, (count * views, *images.shape[2:]))
        some = model.predict_on_batch(images)
        if not isinstance(some, np.ndarray):
            raise UserError(f"model {model.name} has several outputs, expected scores alone")
        some = some.reshape(count, -1, some.shape[-1]).mean(1)
        truth = np.asarray(truth)
        one_hot = truth.ndim > 1 and truth.shape[-1] > 1
        labels.append((truth.argmax(-1) if one_hot else truth).reshape(count))
        scores.append(some)
    labels = np.concatenate(labels)
    numbers = labels.astype(np.int64)
    if (numbers != labels).any():
        raise UserError(f"expected numbers of classes as labels. Received: {labels.tolist()[:3]}")
    return numbers, np.concatenate(scores)


def labelled(dataset):
    """A dataset of (images, labels) batches without its `UNLABELLED` images."""

    def known(images, labels):
        of_a_class = tf.reshape(labels, [tf.shape(labels)[0], -1])[:, 0] != UNLABELLED
        return tf.boolean_mask(images, of_a_class), tf.boolean_mask(labels, of_a_class)

    return dataset.map(known).filter(lambda images, labels: tf.shape(images)[0] > 0)


def check_probabilities(scores):
    """Raises UserError unless the rows of scores (N, classes) are probabilities of classes.

    Rows with NaN, of a net that has diverged, are left to the caller.
    """
    rows = scores[~is_nan(scores)]
    sums = rows.sum(1)
    if scores.shape[1] > 1 and (rows >= 0).all() and (np.abs(sums - 1) <= _SUM).all():
        return
    received = f"{scores.shape[1]} outputs"
    if rows.size:
        received += f" from {rows.min():.3g} to {rows.max():.3g}, sums {sums.min():.3g} to "
        received += f"{sums.max():.3g}"
    raise UserError(
        "the model's outputs are no probabilities: expected two classes or more that sum to 1, as "
        f"a softmax gives them. Received: {received}"
    )


def is_nan(scores):
    """Which rows of scores (N, classes) say nothing: those with a NaN or an infinity."""
    return ~np.isfinite(scores).all(1)


def measure(labels, probabilities):
    """Errors of a classifier.

    The class with the highest probability is the answer, of several the lowest number (`top_k`);
    a row with a NaN is no answer, and wrong. Images that are `UNLABELLED` don't count.

    Args:
        labels: (N,) int.
        probabilities: (N, classes), rows that sum to one.

    Returns:
        dict for JSON with examples, errors (wrong ones), error (a fraction), top5_error where
        there are more than five classes, loss (mean cross-entropy, nats; None where there is a
        NaN), per_class_error (None for a class without examples) and confusion, rows true and
        columns predicted, of the answers. Where there are any, also unlabelled and nan: images
        that don't count and rows with a NaN; and constant: True if all rows are the same.

    Raises:
        UserError: the rows are no probabilities, a label is no class, or no image has a label.
    """
    classes = probabilities.shape[1]
    check_probabilities(probabilities)
    known = labels != UNLABELLED
    unlabelled = int((~known).sum())
    labels, probabilities = labels[known], probabilities[known]
    _check_labels(labels, classes)
    nan = is_nan(probabilities)
    places = ops.convert_to_numpy(place(labels, probabilities))
    wrong = places > 0
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels[~nan], probabilities[~nan].argmax(-1)), 1)
    counts = np.bincount(labels, minlength=classes)
    missed = np.bincount(labels[wrong], minlength=classes)
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    result = {
        "examples": len(labels),
        "errors": int(wrong.sum()),
        "error": float(wrong.mean()),
        "loss": None if nan.any() else float(-np.log(np.maximum(chosen, 1e-30)).mean()),
    }
    if classes > 5:
        result["top5_error"] = float((places >= 5).mean())
    result["per_class_error"] = [
        float(missed[c] / counts[c]) if counts[c] else None for c in range(classes)
    ]
    result["confusion"] = confusion.tolist()
    if unlabelled:
        result["unlabelled"] = unlabelled
    if nan.any():
        result["nan"] = int(nan.sum())
    elif len(labels) > 1 and np.ptp(probabilities, axis=0).max() <= _SAME:
        result["constant"] = True
    return result


def warnings(result):
    """What `measure` found that makes its errors another matter, a list of lines."""
    lines = []
    if "unlabelled" in result:
        lines.append(f"images without a label, which don't count: {result['unlabelled']}")
    if "nan" in result:
        lines.append(
            f"the model's outputs are NaN for {result['nan']} of {result['examples']} images, "
            "which count as wrong: it has diverged"
        )
    if "constant" in result:
        lines.append("the model says the same of every image: it is dead, or has learned nothing")
    return lines


def _check_labels(labels, classes):
    if not len(labels):
        raise UserError("no image has a label: there is nothing to measure")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise UserError(
            f"expected labels from 0 to {classes - 1}, the model's classes. "
            f"Received: {labels[wrong][0]}"
        )
