"""What a run's model says about images: what `predict` prints, and what its export must serve."""

import os

import numpy as np

from tfcnns.errors import UserError
from tfcnns.mistakes import tried

_BATCH = 32  # inputs of the model at a time


def view_of(run):
    """The `view` of a run's recipe for its config, or None if the recipe has none."""
    return run.recipe.view(run.config) if hasattr(run.recipe, "view") else None


def vote_of(run):
    """The arguments of `multiscale_vote` that make a run's answer, or None if it doesn't vote."""
    return run.recipe.vote(run.config) if hasattr(run.recipe, "vote") else None


def detector_of(run):
    """The arguments of `detect` for a run, or None if its model has no boxes."""
    return run.recipe.detector(run.config) if hasattr(run.recipe, "detector") else None


def has_background(run):
    """Whether the last class of a run's model is the background, which is no answer."""
    return bool((detector_of(run) or {}).get("background"))


def class_names(run, classes):
    """A name for each of so many classes; the number, where the run knows none.

    Raises: UserError if the run has names, but not one for each.
    """
    known = run.config.get("class_names") or range(classes)
    if len(known) != classes:
        raise UserError(
            f"class_names of {run.path} must name the model's {classes} classes. "
            f"Received: {len(known)} names"
        )
    return [str(name) for name in known]


def detector_names(run, model):
    """`class_names` of a model with boxes; the background, where there is one, has none."""
    return class_names(run, model.output["classifier"].shape[-1] - has_background(run))


def views_of_files(view, contents, names):
    """What a view makes of image files, a list of arrays (h, w, C) or (views, h, w, C).

    Args:
        view: as `view_of` returns it.
        contents: bytes of the files.
        names: what errors call them.

    Raises: UserError, or TensorFlow's error around it, for a file that can't be read.
    """
    return list(_views(view, contents, names))


def view_or_error(view, contents, names):
    """`views_of_files` with a UserError, which isn't raised, in the place of each that fails."""
    views = _views(view, contents, names)
    return [tried(name, next, views) for name in names]  # tf.data goes on after an error


def _views(view, contents, names):
    import tensorflow as tf

    from tfcnns.pipelines.source import Encoded

    files = tf.data.Dataset.from_tensor_slices(
        (list(contents), [os.fsencode(name) for name in names])
    )
    return files.map(lambda data, name: view(Encoded(data, name))).as_numpy_iterator()


def class_scores(run, model, images):
    """The scores of all classes, but for a background, (N, classes) float32.

    Args:
        run: the `Run`.
        model: its model.
        images: a list of N arrays from its view: (h, w, C), or (views, h, w, C), whose scores are
            averaged, as those of all positions are.
    """
    from tfcnns.training.evaluation import predict

    vote = vote_of(run)
    if vote is not None:
        from tfcnns.detection import multiscale_vote

        scores = np.stack([np.asarray(multiscale_vote(model, image, **vote)) for image in images])
        scores = scores[:, : scores.shape[1] - has_background(run)]
        return scores / scores.sum(1, keepdims=True)
    size = max(_BATCH // (len(images[0]) if images[0].ndim == 4 else 1), 1)
    groups = [np.stack(images[at : at + size]) for at in range(0, len(images), size)]
    return predict(model, [(group, np.zeros(len(group))) for group in groups])[1]
