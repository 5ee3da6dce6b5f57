"""Learning curves: loss and error of a run, epoch by epoch."""

import numpy as np
from matplotlib import ticker

from . import BLUE, GREY, VERMILLION, house_style, new_figure

# name, prefix of the column, how its line looks
_SPLITS = (
    ("train", "", {"color": BLUE, "linestyle": "-", "marker": "o"}),
    ("validation", "val_", {"color": VERMILLION, "linestyle": "--", "marker": "s"}),
)


@house_style()
def plot_curves(history):
    """Loss and error in % against epochs, for training and validation data.

    An axis turns logarithmic where its values span more than a factor of ten; one that
    also holds an error of zero is linear near zero. Dotted lines mark where the learning
    rate changed, if it did so up to eight times.

    Args:
        history: a list of dicts, one an epoch, of numbers or of the strings that
            `csv.DictReader` gives: epoch (from 1), loss, and any of accuracy, val_loss,
            val_accuracy and learning_rate. A missing or empty value is left out, one that
            isn't finite leaves a gap and is named in the legend.

    Returns:
        A Figure with one axis for the loss and, if there are accuracies, one for the error.
    """
    if not history:
        raise ValueError(f"history must hold at least one epoch. Received: history={history!r}")
    figure = new_figure(4.4)
    summary = []
    found = panels(history)
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axis, (title, unit, form, lines) in zip(axes, found, strict=True):
        prepare(axis, title, unit)
        _draw(axis, lines, form)
        _mark_rates(axis, history)
        _, labels = axis.get_legend_handles_labels()
        if labels:
            axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), frameon=False)
        summary.append(f"{title}: " + "; ".join(labels))
    figure.set_label(f"Line charts up to epoch {history[-1]['epoch']}. " + ". ".join(summary) + ".")
    return figure


def panels(history):
    """What is drawn of a history, a tuple for the loss and, if there are accuracies, the error.

    Returns: a list of title, unit, form of a number, and dict of "train" and "validation" to
        epochs and values, arrays (n,).
    """
    loss, error = {}, {}
    for split, prefix, _ in _SPLITS:
        loss[split] = _series(history, prefix + "loss")
        epochs, accuracy = _series(history, prefix + "accuracy")
        error[split] = epochs, np.maximum(100 * (1 - accuracy), 0)
    found = [("Loss", "loss", "{:.3g}", loss)]
    if any(len(epochs) for epochs, _ in error.values()):
        found.append(("Error", "error in %", "{:.1f} %", error))
    return found


def prepare(axis, title, unit):
    """Names of an axis of epochs, whole numbers along it, and lines across."""
    axis.set(title=title, xlabel="epoch", ylabel=unit)
    axis.set_xmargin(0.03)
    whole = ticker.MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    axis.xaxis.set_major_locator(whole)
    axis.grid(axis="y", color="0.9")
    axis.set_axisbelow(True)


def _series(history, key):
    """Epochs and values of the rows that have this key: two arrays (n,)."""
    rows = [(row["epoch"], row[key]) for row in history if row.get(key) not in (None, "")]
    pairs = np.array(rows, dtype="float64").reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _draw(axis, lines, form):
    for split, _, look in _SPLITS:
        epochs, values = lines[split]
        if not len(values):
            continue
        shown = np.where(np.isfinite(values), values, np.nan)
        every = max(1, len(values) // 20)  # markers tell lines apart, more would hide them
        label = f"{split}: {in_words(epochs, shown, form, split == 'validation')}"
        axis.plot(epochs, shown, label=label, markersize=4.5, markevery=every, **look)
    choose_scale(axis, np.concatenate([values for _, values in lines.values()]))


def in_words(epochs, values, form, with_lowest):
    """The last value of a line and, if asked, its lowest; from where it isn't finite."""
    finite = np.isfinite(values)
    words = []
    if finite[-1]:
        words.append(f"last {form.format(values[-1])}")
    if with_lowest and finite.any():
        best = np.nanargmin(values)
        words.append(f"lowest {form.format(values[best])} (epoch {epochs[best]:.0f})")
    if not finite.all():
        words.append(f"not finite from epoch {epochs[~finite][0]:.0f}")
    return ", ".join(words)


def choose_scale(axis, values):
    """Makes the axis of values logarithmic if they span more than a factor of ten."""
    values = values[np.isfinite(values)]
    if not values.size:
        axis.set(xticks=[], yticks=[])
        axis.text(0.5, 0.5, "no finite value", transform=axis.transAxes, ha="center")
    positive = values[values > 0]
    if not positive.size or positive.max() <= 10 * positive.min() or np.any(values < 0):
        return
    smallest = 10.0 ** np.round(np.log10(positive.min()))
    subs = (1, 2, 5) if positive.max() / smallest <= 1e3 else (1,)
    if np.any(values == 0):
        axis.set_yscale("symlog", linthresh=smallest, linscale=0.4)
        ticks = ticker.SymmetricalLogLocator(base=10, linthresh=smallest, subs=subs)
        axis.set_ylim(bottom=-smallest / 5)
    else:
        axis.set_yscale("log")
        ticks = ticker.LogLocator(subs=subs)
    axis.yaxis.set_major_locator(ticks)
    axis.yaxis.set_minor_locator(ticker.NullLocator())
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def _mark_rates(axis, history):
    epochs, rates = _series(history, "learning_rate")
    changes = np.flatnonzero(np.diff(rates)) + 1
    if len(changes) > 8:  # a smooth schedule
        return
    for index in changes:
        at = (epochs[index - 1] + epochs[index]) / 2
        axis.axvline(at, color="0.6", linewidth=1, linestyle=":", zorder=0)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text(at, 0.99, f"rate {rates[index]:g}", color=GREY, fontsize=9, ha="center", va="top",
                  bbox=box, transform=axis.get_xaxis_transform())  # fmt: skip
