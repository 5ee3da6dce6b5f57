"""The confusion matrix: which class is taken for which."""

import numpy as np
from matplotlib.colors import PowerNorm

from . import WIDTH, house_style, new_figure, short_name

COUNTS_UP_TO = 25  # classes; of more, counts and names would be too small to read
CELLS = 250  # drawn a side at most, each then at least two pixels wide


@house_style()
def plot_confusion(matrix, class_names):
    """Rows are true classes, columns what the model said; the diagonal is right.

    A cell's colour is its share of its row, on a scale that shows single mistakes too.
    Up to 25 classes have their names, their counts (zeros are left blank) and their errors
    printed. Of more, the most frequent mistakes are listed; of more than 250, a cell stands
    for several neighbouring classes and shows their highest share.

    Args:
        matrix: (C, C) counts; matrix[i, j] pictures of class i were called class j.
        class_names: C names.

    Returns:
        A Figure with the matrix as its first axis.
    """
    matrix = np.asarray(matrix)
    classes = len(class_names)
    if matrix.shape != (classes, classes):
        raise ValueError(
            f"matrix must be square with one row a class name ({classes}). "
            f"Received: matrix.shape={matrix.shape}"
        )
    totals = matrix.sum(axis=1)
    share = matrix / np.maximum(totals, 1)[:, None]
    names = [short_name(name) for name in class_names]
    worst = [f"{names[i]} → {names[j]}: {count:,}" for i, j, count in _most_frequent(matrix)]

    few = classes <= COUNTS_UP_TO
    figure = new_figure(6.3, width=7.6 if few else WIDTH)
    axes = figure.add_subplot() if few else figure.subplots(1, 2, width_ratios=(3, 1))[0]
    cells = np.ma.masked_equal(_pool(share), 0)
    image = axes.imshow(cells, cmap="cividis_r", norm=PowerNorm(0.4, 0, 1))
    axes.set(xlabel="said", ylabel="true", title=f"What {totals.sum():,} pictures were taken for")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="0.8")
    if few:
        _print_names(axes, names)
        _print_counts(axes, matrix, share)
        _print_errors(axes, matrix, totals)
    elif worst:
        text = "Most frequent mistakes,\ntrue → said:\n\n" + "\n".join(worst)
        figure.axes[1].text(0, 0.5, text, va="center", fontsize=9, linespacing=1.6)
    for beside in figure.axes[1:]:
        beside.set_axis_off()
    bar = figure.colorbar(image, ax=axes, label="share of the true class in %", shrink=0.7)
    bar.set_ticks([0, 0.01, 0.1, 0.3, 0.6, 1], labels=["0", "1", "10", "30", "60", "100"])
    bar.outline.set_visible(False)
    figure.set_label(
        f"Confusion matrix of {classes} classes: {np.trace(matrix):,} of {totals.sum():,} "
        "pictures are on the diagonal, that is right. "
        + (f"Most frequent mistake, true → said: {worst[0]}." if worst else "No mistakes.")
    )
    return figure


def _most_frequent(matrix, count=12):
    """The largest cells off the diagonal: (true, said, pictures), largest first."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    cells = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(i, j, wrong[i, j]) for i, j in cells if wrong[i, j] > 0]


def _pool(share):
    """(C, C) -> (c, c) of at most CELLS: the highest share of each block."""
    block = -(-len(share) // CELLS)
    starts = np.arange(0, len(share), block)
    return np.maximum.reduceat(np.maximum.reduceat(share, starts, axis=0), starts, axis=1)


def _print_names(axes, names):
    rotation = 0 if max(map(len, names)) * len(names) <= 50 else 90
    axes.set_xticks(range(len(names)), labels=names, rotation=rotation)
    axes.set_yticks(range(len(names)), labels=names)
    borders = np.arange(len(names) - 1) + 0.5
    axes.set_xticks(borders, minor=True)
    axes.set_yticks(borders, minor=True)
    axes.grid(which="minor", color="0.9")
    axes.tick_params(which="both", length=0)


def _print_counts(axes, matrix, share):
    for i, j in np.argwhere(matrix):
        # Dark cells need white ink; at 0.2 black and white have about the same contrast.
        color = "white" if share[i, j] > 0.2 else "black"
        axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color=color)


def _print_errors(axes, matrix, totals):
    axes.text(1.02, 1.015, "error", transform=axes.transAxes)
    for i, total in enumerate(totals):
        error = f"{100 - 100 * matrix[i, i] / total:.1f} %" if total else "none"
        axes.text(1.02, i, error, transform=axes.get_yaxis_transform(), va="center")
