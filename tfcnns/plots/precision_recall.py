"""Precision against recall, a line for each class and one for their mean."""

import warnings

import numpy as np

from . import BLUE, GREY, VERMILLION, house_style, new_figure, short_name


@house_style()
def plot_precision_recall(recall, precision, class_names, title="Precision and recall at IoU .5"):
    """The precision with which a detector finds a given part of all objects.

    Args:
        recall: (R,) levels, ascending, 0 to 1.
        precision: (R, C) at these levels; NaN for a class without truths.
        class_names: C names.
        title: above the picture.

    Returns:
        A Figure with one axis.
    """
    recall, precision = np.asarray(recall, float), np.asarray(precision, float)
    if precision.shape != (len(recall), len(class_names)):
        raise ValueError(
            f"precision must be ({len(recall)}, {len(class_names)}), levels and classes. "
            f"Received: precision.shape={precision.shape}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of classes without truths
        average, mean = np.nanmean(precision, axis=0), np.nanmean(precision, axis=1)
    known = np.flatnonzero(~np.isnan(average))
    worst = known[np.argsort(average[known], kind="stable")[:1]]
    figure = new_figure(4.6, width=6.4)
    axes = figure.subplots()
    for c in known:
        color = VERMILLION if c in worst and len(known) > 1 else GREY
        axes.plot(
            recall, precision[:, c], color=color, linewidth=1, alpha=0.9 if c in worst else 0.35
        )
    sentence = "No class has an object."
    if len(known):
        axes.plot(recall, mean, color=BLUE, linewidth=2.5, label=f"mean, AP {mean.mean():.3f}")
        name = short_name(class_names[worst[0]])
        axes.plot([], [], color=VERMILLION, label=f"worst, {name}, AP {average[worst[0]]:.3f}")
        axes.plot([], [], color=GREY, alpha=0.5, label=f"each of {len(known)} classes")
        axes.legend(loc="lower left", frameon=False)
        sentence = (
            f"Average precision {mean.mean():.3f} over {len(known)} classes; the worst, {name}, "
            f"has {average[worst[0]]:.3f}."
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    figure.set_label(sentence)
    return figure
