"""What the page of any run says and shows of it."""

from tfcnns.plots.comparison import plot_comparison
from tfcnns.plots.curves import plot_curves
from tfcnns.plots.filters import first_filters, plot_filters


def run_facts(run, model):
    """Size, length and versions of a run as a dict of texts, for `write_report`."""
    history = run.history()
    facts = {
        "Parameters": f"{model.count_params():,}",
        "Epochs": len(history),
        "Training time": f"{sum(row['seconds'] for row in history):.0f} s",
        "Seed": run.config.get("seed"),
    }
    versions = run.settings["versions"]
    facts["Versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return facts


def run_sections(run, model, others=()):
    """Learning curves, those of other runs beside them, and the filters of the first layer.

    Args:
        run, model: a `Run` and its keras.Model.
        others: `Run`s whose curves are drawn beside its own.

    Returns: sections for `write_report`; one that there is nothing for is left out.
    """
    sections = []
    history = run.history()
    if history:
        sections.append(
            (
                "Learning curves",
                "Loss and, of a classifier, error after each epoch, on the training and the "
                "validation images.",
                plot_curves(history),
            )
        )
    if history and others:
        sections.append(
            (
                "Comparison of runs",
                "Loss and, of classifiers, error of this run and of others after each epoch.",
                plot_comparison(_histories((run, *others))),
            )
        )
    filters = first_filters(model)
    if filters is not None:
        name, towers = filters
        sections.append(
            (
                "First filters",
                f"What the filters of {name} look for in the image, each scaled to its own "
                "largest weight. AlexNet's figure 3 has those of its two towers apart.",
                plot_filters(towers, name),
            )
        )
    return sections


def _histories(runs):
    """{name: history} of the runs that have one: their folders' names, numbered if equal."""
    histories = {}
    for run in runs:
        name, number = run.path.name, 1
        while name in histories:
            number += 1
            name = f"{run.path.name} ({number})"
        histories[name] = run.history()
    return {name: history for name, history in histories.items() if history}
