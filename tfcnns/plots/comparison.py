"""The learning curves of several runs in one picture."""

import numpy as np
from matplotlib.lines import Line2D

from . import OKABE_ITO, house_style, new_figure, short_name
from .curves import choose_scale, in_words, panels, prepare

_MARKERS = "osD^vP*"  # beside the colours
_LOOK = {"linewidth": 1.8, "markersize": 4.5}


@house_style()
def plot_comparison(histories):
    """Loss and error in % against epochs, a colour and a marker for each run.

    Thick lines with markers are of the validation data, thin dotted ones of the training data.

    Args:
        histories: dict of a run's name -> its history, as `plot_curves` takes it; 1 to 7.

    Returns:
        A Figure with one axis for the loss and, if there are accuracies, one for the error.
    """
    if not 0 < len(histories) <= len(OKABE_ITO):
        raise ValueError(
            f"histories must be those of 1 to {len(OKABE_ITO)} runs. Received: {len(histories)}"
        )
    runs = {name: {p[0]: p for p in panels(history)} for name, history in histories.items()}
    shown = max(runs.values(), key=len)
    figure = new_figure(3.9 + 0.22 * len(runs))
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    said = {name: [] for name in runs}
    for axis, (title, unit, form, _) in zip(axes, shown.values(), strict=True):
        prepare(axis, title, unit)
        values = []
        for number, (name, own) in enumerate(runs.items()):
            if title in own:
                lines = own[title][-1]
                # Markers begin at places of their own, so that equal lines all show.
                values += _draw(axis, lines, number, number / len(runs))
                said[name].append(f"{title.lower()} {_words(lines, form)}")
        choose_scale(axis, np.concatenate(values))
    texts = [f"{short_name(name, 24)}: {'; '.join(words)}" for name, words in said.items()]
    figure.legend(_keys(len(runs)), texts, loc="outside lower left", frameon=False)
    figure.suptitle(
        "Lines with markers: validation data; dotted lines: training data",
        x=0.01, ha="left", fontsize=10,
    )  # fmt: skip
    figure.set_label(f"Line charts of {len(runs)} runs. " + ". ".join(texts) + ".")
    return figure


def _draw(axis, lines, number, place):
    """Both lines of a run, markers from `place`, 0 to 1, on; returns the values of each."""
    values = []
    for split in ("train", "validation"):
        epochs, own = lines[split]
        own = np.where(np.isfinite(own), own, np.nan)
        look = {"linestyle": ":", "linewidth": 1.2}
        if split == "validation":
            every = max(1, len(own) // 12)
            begin = int(place * every)
            look = {"marker": _MARKERS[number], "markevery": (begin, every), **_LOOK}
        axis.plot(epochs, own, color=OKABE_ITO[number], **look)
        values.append(own)
    return values


def _words(lines, form):
    validated = len(lines["validation"][1]) > 0
    epochs, values = lines["validation" if validated else "train"]
    finite = np.where(np.isfinite(values), values, np.nan)
    words = in_words(epochs, finite, form, with_lowest=validated)
    return words if validated else f"in training {words}"


def _keys(count):
    return [Line2D([], [], color=OKABE_ITO[i], marker=_MARKERS[i], **_LOOK) for i in range(count)]
