"""NIN's class maps: where in a picture the network sees each class.

The last mlpconv layer of Network in Network has one feature map a class, and global
average pooling makes that class's score of it. The maps can therefore be looked at as
they are (the paper's section on visualisation); they say where, though no box was ever
shown in training.
"""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Rectangle

from . import (
    CHARACTER,
    ORANGE,
    VERMILLION,
    WIDTH,
    as_pictures,
    house_style,
    new_figure,
    short_name,
    show_picture,
)

ALL_UP_TO = 10  # classes whose maps are all shown
LIKELIEST = 6  # of more classes, that many


def class_maps_model(model):
    """A model of the class maps that the last global average pooling of `model` averages.

    Args:
        model: a functional or Sequential Keras model, (N, H, W, C) -> (N, classes).

    Returns:
        A keras.Model (N, H, W, C) -> (N, h, w, classes) that shares the weights, or None if
        there is no GlobalAveragePooling2D or it averages features rather than one map a class.
    """
    import keras  # here, since the plots themselves need no Keras

    pools = [x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling2D)]
    if not pools:
        return None
    maps = pools[-1].input
    if pools[-1].data_format == "channels_first":
        maps = keras.layers.Permute((2, 3, 1))(maps)
    if maps.shape[-1] != model.output_shape[-1]:
        return None
    return keras.Model(model.inputs, maps, name="class_maps")


@house_style()
def plot_class_maps(images, maps, labels, probabilities, class_names, count=8):
    """A row a picture: the picture, then its class maps as heat maps on one colour scale.

    The true class is framed, and with a dashed frame what was said instead if that is wrong.
    White lines surround the strongest tenth of what a row shows, which is all that the paper shows.
    Of more than ten classes, the true one and then the likeliest have their maps shown.

    Args:
        images: (N, H, W), (N, H, W, 1) or (N, H, W, 3), as `as_pictures` takes them.
        maps: (N, h, w, C), input of the global average pooling.
        labels: (N,) true classes, integers.
        probabilities: (N, C), what the model gave each class.
        class_names: C names.
        count: rows to show at most: the first ones.

    Returns:
        A Figure with one axis a picture, one a map, and a colour bar.
    """
    maps, probabilities = (np.asarray(x, dtype="float32") for x in (maps, probabilities))
    labels = np.asarray(labels).astype(int)
    classes, rows = len(class_names), min(count, len(maps))
    if rows < 1 or maps.ndim != 4 or maps.shape[-1] != classes:
        raise ValueError(
            f"maps must be (N, h, w, {classes}) with N and count at least 1. "
            f"Received: maps.shape={maps.shape}, count={count}"
        )
    if labels.shape != maps.shape[:1] or probabilities.shape != (len(maps), classes):
        raise ValueError(
            f"labels must be ({len(maps)},) and probabilities ({len(maps)}, {classes}). "
            f"Received: labels.shape={labels.shape}, probabilities.shape={probabilities.shape}"
        )
    names = [short_name(name, 14) for name in class_names]
    said = probabilities.argmax(axis=1)
    columns = classes if classes <= ALL_UP_TO else LIKELIEST
    left = CHARACTER * (len("true ") + max(map(len, names))) + 0.25  # inches, for the text
    side = min((WIDTH - left - 0.1) / (columns + 1), 1.3)
    gap = 0.06 if classes <= ALL_UP_TO else 0.35  # inches; names above each map, or once
    height = 0.7 + rows * (side + gap) + 0.75
    figure = new_figure(height, layout="none")
    grid = figure.subplots(
        rows, columns + 1, squeeze=False,
        gridspec_kw={"left": left / WIDTH, "right": (left + side * (columns + 1)) / WIDTH,
                     "top": 1 - 0.7 / height, "bottom": 0.75 / height,
                     "wspace": 0.06, "hspace": gap / side},
    )  # fmt: skip
    pictures = as_pictures(images[:rows])
    for row, axes in enumerate(grid):
        show_picture(axes[0], pictures[row])
        text = f"true {names[labels[row]]}\nsaid {names[said[row]]}\n"
        text += f"{100 * probabilities[row].max():.0f} %"
        axes[0].text(-0.1, 0.5, text, transform=axes[0].transAxes, ha="right", va="center")
        chosen = _which(labels[row], probabilities[row])
        _draw_maps(axes[1:], maps[row][..., chosen])
        for one, c in zip(axes[1:], chosen, strict=True):
            if c == labels[row]:
                _frame(one, ORANGE, "-")
            elif c == said[row]:
                _frame(one, VERMILLION, "--")
            if row == 0 or classes > ALL_UP_TO:
                name = short_name(names[c], int(side / CHARACTER / 0.9))
                one.set_title(name, fontsize=9, loc="center", pad=4)
    title = "Class maps before global average pooling; "
    title += "white lines: strongest 10 % of a row; frame: true class"
    if np.any(said[:rows] != labels[:rows]):
        title += ", dashed: said"
    figure.suptitle(title, x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=11)
    _colour_bar(figure, height)
    peaks = np.nan_to_num(maps[:rows], nan=-np.inf).max(axis=(1, 2))  # (rows, C)
    hits = np.sum((peaks.argmax(axis=1) == labels[:rows]) & np.isfinite(peaks.max(axis=1)))
    figure.set_label(
        f"{rows} pictures, each with heat maps of {columns} classes. In {hits} of {rows} rows "
        "the strongest activation lies in the map of the true class."
    )
    return figure


def _which(label, probability):
    """Classes whose maps stand in a row, (columns,): all, or the true and the likeliest."""
    if len(probability) <= ALL_UP_TO:
        return list(range(len(probability)))
    likeliest = np.argsort(-probability, kind="stable")
    return [int(label)] + [int(c) for c in likeliest if c != label][: LIKELIEST - 1]


def _draw_maps(axes, maps):
    """One axis a map of (h, w, columns), all on the scale of the row."""
    finite = maps[np.isfinite(maps)]
    low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
    strongest = np.quantile(finite, 0.9) if finite.size else high
    for k, one in enumerate(axes):
        one.imshow(maps[..., k], cmap="viridis", vmin=low, vmax=high, interpolation="bilinear")
        if low < strongest < high and min(maps.shape[:2]) > 1:
            one.contour(maps[..., k], levels=[strongest], colors="white", linewidths=0.8)
        one.set(xticks=[], yticks=[])
        one.spines[:].set_visible(False)


def _frame(axes, color, linestyle):
    box = {"transform": axes.transAxes, "clip_on": False, "fill": False, "zorder": 3}
    axes.add_patch(Rectangle((0, 0), 1, 1, color=color, linestyle=linestyle, linewidth=3, **box))


def _colour_bar(figure, height):
    axes = figure.add_axes((0.3, 0.45 / height, 0.4, 0.14 / height))
    bar = figure.colorbar(ScalarMappable(cmap="viridis"), cax=axes, orientation="horizontal")
    bar.set_ticks([0, 1], labels=["lowest of the row", "highest of the row"])
    bar.outline.set_visible(False)
    axes.tick_params(length=0)
