"""The report of one run: what its model does on data that training never saw."""

import numpy as np

from tfcnns.plots import box_report
from tfcnns.plots.class_maps import class_maps_model, plot_class_maps
from tfcnns.plots.confusion import plot_confusion
from tfcnns.plots.curves import plot_curves
from tfcnns.plots.mistakes import plot_mistakes
from tfcnns.plots.report import save_figures, write_report
from tfcnns.plots.run_facts import run_facts
from tfcnns.training import evaluation

_SHOWN = 8  # test images whose class maps are drawn


def write(run, weights="final", links=()):
    """Draws a classifier's run into RUN/plots and RUN/report.html; returns the page's path.

    The run of a detector or a box regressor is drawn by `box_report`.

    Args:
        run: a `Run` with the weights asked for.
        weights: "final", "best" or "last", as `Run.load_model` takes them.
        links: (text, address) of other pages, shown at the top.
    """
    if hasattr(run.recipe, "detector") and run.recipe.detector(run.config):
        return box_report.write(run, weights, links)
    model = run.load_model(weights)
    dataset = run.recipe.data(run.config, "test", 0, 1)
    labels, probabilities = evaluation.predict(model, dataset)
    result = evaluation.measure(labels, probabilities)
    images = np.concatenate([np.asarray(batch[0]) for batch in dataset])
    names = run.config.get("class_names") or [str(c) for c in range(probabilities.shape[1])]
    history = run.history()
    sections = []
    if history:
        sections.append(
            (
                "Learning curves",
                "Loss and error after each epoch, on the training and the validation images.",
                plot_curves(history),
            )
        )
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
        some = _one_of_each(labels, _SHOWN)
        maps = maps_model.predict_on_batch(images[some])
        sections.append(
            (
                "Class maps",
                "The last feature maps before global average pooling, one a class: where in "
                "the image the network sees it.",
                plot_class_maps(images[some], maps, labels[some], probabilities[some], names),
            )
        )
    save_figures(
        {heading.lower().replace(" ", "_"): f for heading, _, f in sections}, run.path / "plots"
    )
    page = run.path / "report.html"
    errors = {
        "Test error": f"{100 * result['error']:.2f} % "
        f"({result['errors']} of {result['examples']} images)",
        "Test loss": f"{result['loss']:.4f}",
    }
    facts = {**errors, **run_facts(run, model)}
    write_report(page, f"Run {run.path.name}: {run.name}", sections, facts, links)
    return page


def _one_of_each(labels, count):
    """Indices of `count` images, taking a class again only when each has been taken."""
    seen, keys = {}, []
    for label in labels.tolist():
        seen[label] = seen.get(label, 0) + 1
        keys.append((seen[label], label))
    return sorted(range(len(labels)), key=keys.__getitem__)[:count]
