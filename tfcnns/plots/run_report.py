"""The report of one run: what its model does on data that training never saw."""

import numpy as np

from tfcnns import answers
from tfcnns.errors import UserError
from tfcnns.plots import box_report
from tfcnns.plots.class_maps import class_maps_model, plot_class_maps
from tfcnns.plots.confusion import plot_confusion
from tfcnns.plots.mistakes import plot_mistakes, worst_mistakes
from tfcnns.plots.nearest import hidden_model, nearest, plot_nearest
from tfcnns.plots.report import save_figures, write_report
from tfcnns.plots.run_facts import run_facts, run_sections
from tfcnns.training import evaluation

_SHOWN = 8  # test images whose class maps are drawn
_QUERIES = 6  # whose nearest are
_SEARCHED = 2000  # images that those are looked for in, about: their features are held in memory


def write(run, weights="final", links=(), others=()):
    """Draws a classifier's run into RUN/plots and RUN/report.html; returns the page's path.

    The run of a detector or a box regressor is drawn by `box_report`. Of the test images only
    those that are drawn are held in memory.

    Args:
        run: a `Run` with the weights asked for.
        weights: "final", "best" or "last", as `Run.load_model` takes them.
        links: (text, address) of other pages, shown at the top.
        others: `Run`s whose learning curves are drawn beside its own.
    """
    if hasattr(run.recipe, "detector") and run.recipe.detector(run.config):
        return box_report.write(run, weights, links, others)
    dataset = run.recipe.data(run.config, "test", 0, 1)
    if dataset is None:
        raise UserError(f"recipe {run.name} has no test data to draw pictures of")
    dataset = evaluation.labelled(dataset)
    model = run.load_model(weights)
    labels, probabilities = evaluation.predict(model, dataset)
    result = evaluation.measure(labels, probabilities)
    names = answers.class_names(run, probabilities.shape[1])
    some = _one_of_each(labels, _SHOWN)
    queries, near, distances = _alike(model, dataset, labels)
    drawn = {*some, *worst_mistakes(labels, probabilities), *queries, *near.ravel()}
    images = images_at(dataset, drawn)

    def pictures(rows):
        return np.stack([images[row] for row in np.ravel(rows)])

    sections = run_sections(run, model, others)
    sections += [
        (
            "Confusion matrix",
            f"The {result['examples']} test images: rows are the truth, columns the answer.",
            plot_confusion(np.asarray(result["confusion"]), names),
        ),
        (
            "Worst mistakes",
            "The wrong answers that were given with the most confidence.",
            plot_mistakes(images, labels, probabilities, names),
        ),
    ]
    maps_model = class_maps_model(model)
    if maps_model is not None:
        maps = maps_model.predict_on_batch(pictures(some))
        sections.append(
            (
                "Class maps",
                "The last feature maps before global average pooling, one a class: where in "
                "the image the network sees it.",
                plot_class_maps(pictures(some), maps, labels[some], probabilities[some], names),
            )
        )
    if near.size:
        own, shape = pictures(queries), near.shape
        others_of = pictures(near).reshape(*shape, *own.shape[1:])
        sections.append(
            (
                "Nearest images",
                "Test images and those whose features in the last hidden layer are nearest, as "
                "in AlexNet's figure 4, which looks among the training images. What lies close "
                "is what the network takes for alike, whatever the pixels say.",
                plot_nearest(own, others_of, distances, labels[queries], labels[near], names),
            )
        )
    files = save_figures(
        {heading.lower().replace(" ", "_"): f for heading, _, f in sections}, run.path / "plots"
    )
    page = run.path / "report.html"
    errors = {
        "Test error": f"{100 * result['error']:.2f} % "
        f"({result['errors']} of {result['examples']} images)",
        "Test loss": "NaN" if result["loss"] is None else f"{result['loss']:.4f}",
    }
    if evaluation.warnings(result):
        errors["What they mean"] = "; ".join(evaluation.warnings(result))
    facts = {**errors, **run_facts(run, model)}
    write_report(page, f"Run {run.path.name}: {run.name}", sections, facts, links, files)
    return page


def _one_of_each(labels, count):
    """Indices of `count` images, taking a class again only when each has been taken."""
    seen, keys = {}, []
    for label in labels.tolist():
        seen[label] = seen.get(label, 0) + 1
        keys.append((seen[label], label))
    return sorted(range(len(labels)), key=keys.__getitem__)[:count]


def _alike(model, dataset, labels):
    """Some images, (n,), their nearest (n, k) and the distances (n, k); all empty without a
    hidden layer."""
    hidden = hidden_model(model)
    if hidden is None:
        return np.empty(0, int), np.empty((0, 0), int), np.empty((0, 0))
    batches = -(-_SEARCHED // len(next(iter(dataset))[1]))
    _, features = evaluation.predict(hidden, dataset.take(batches))
    queries = _one_of_each(labels[: len(features)], _QUERIES)
    return np.array(queries), *nearest(features, queries)


def images_at(dataset, rows):
    """{row: image} for some rows of a dataset of (images, labels); of ten crops the centre."""
    found, first = {}, 0
    for images, *_ in dataset:
        for row in rows:
            if first <= row < first + len(images):
                image = np.asarray(images[row - first])
                found[row] = image[len(image) // 2 - 1] if image.ndim == 4 else image
        first += len(images)
    return found
