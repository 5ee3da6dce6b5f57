"""What a classifier gets right and wrong on labelled images."""

import numpy as np


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
    """
    labels, scores = [], []
    for images, truth in dataset:
        count = len(images)
        views = images.shape[1] if len(images.shape) == 5 else 1
        if views > 1:
            images = np.reshape(images, (count * views, *images.shape[2:]))
        some = np.asarray(model.predict_on_batch(images))
        some = some.reshape(count, -1, some.shape[-1]).mean(1)
        truth = np.asarray(truth)
        one_hot = truth.ndim > 1 and truth.shape[-1] > 1
        labels.append((truth.argmax(-1) if one_hot else truth).reshape(count))
        scores.append(some)
    return np.concatenate(labels).astype(np.int64), np.concatenate(scores)


def measure(labels, probabilities):
    """Errors of a classifier.

    Args:
        labels: (N,) int.
        probabilities: (N, classes), rows that sum to one.

    Returns:
        dict with examples, errors (wrong ones), error (a fraction), top5_error where there
        are more than five classes, loss (mean cross-entropy, nats), per_class_error (None
        for a class without examples) and confusion, rows true and columns predicted.
    """
    classes = probabilities.shape[1]
    guesses = probabilities.argmax(-1)
    wrong = guesses != labels
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, guesses), 1)
    counts = confusion.sum(1)
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    result = {
        "examples": len(labels),
        "errors": int(wrong.sum()),
        "error": float(wrong.mean()),
        "loss": float(-np.log(np.maximum(chosen, 1e-30)).mean()),
    }
    if classes > 5:
        # How many classes score strictly higher than the true one.
        better = (probabilities > chosen[:, None].astype(probabilities.dtype)).sum(-1)
        result["top5_error"] = float((better >= 5).mean())
    result["per_class_error"] = [
        float(1 - confusion[c, c] / counts[c]) if counts[c] else None for c in range(classes)
    ]
    result["confusion"] = confusion.tolist()
    return result
