"""The worst mistakes: the pictures whose wrong class the model was surest of."""

import numpy as np

from . import CHARACTER, as_pictures, house_style, new_figure, short_name, show_picture


def worst_mistakes(labels, probabilities, count=16):
    """Rows of the images that were called something else, the most confident mistake first.

    An image whose probabilities are NaN was called nothing.

    Args: as for `plot_mistakes`.
    """
    confidence = probabilities.max(axis=1)
    called = np.isfinite(probabilities).all(axis=1)
    wrong = np.flatnonzero(called & (probabilities.argmax(axis=1) != labels))
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count]


@house_style()
def plot_mistakes(images, labels, probabilities, class_names, count=16):
    """Pictures that were called something else, the most confident mistake first.

    Args:
        images: (N, h, w), (N, h, w, 1) or (N, h, w, 3), as `as_pictures` takes them, or a dict of
            row -> image with the `worst_mistakes` at least.
        labels: (N,) true classes, integers.
        probabilities: (N, C), what the model gave each class.
        class_names: C names.
        count: how many to show at most; fewer mistakes are shown all.

    Returns:
        A Figure with one axis a mistake (none if there is none).
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    expected = (len(labels) if isinstance(images, dict) else len(images), len(class_names))
    if probabilities.shape != expected or labels.shape != expected[:1]:
        raise ValueError(
            f"labels must be {expected[:1]} and probabilities {expected}. "
            f"Received: labels.shape={labels.shape}, probabilities.shape={probabilities.shape}"
        )
    said, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = worst_mistakes(labels, probabilities, len(labels))
    worst = wrong[:count]
    if not len(worst):
        return _nothing_wrong(int(np.isfinite(probabilities).all(axis=1).sum()))

    names = [short_name(name, 16) for name in class_names]
    longest = len("said , 97 %") + max(map(len, names))
    columns = int(np.clip(9.2 / (CHARACTER * (longest + 2)), 4, 8))
    rows = -(-len(worst) // columns)
    side = 9.2 / columns
    height = 0.5 + rows * (side + 0.55)
    figure = new_figure(height, layout="none")
    grid = figure.subplots(
        rows, columns, squeeze=False,
        gridspec_kw={"left": 0.01, "right": 0.99, "top": 1 - 0.45 / height, "bottom": 0.55 / height,
                     "wspace": 0.12, "hspace": 0.6 / side},
    )  # fmt: skip
    captions = []
    pictures = as_pictures(np.stack([images[row] for row in worst]))
    for axes, index, picture in zip(grid.flat, worst, pictures, strict=False):
        show_picture(axes, picture)
        true, guess = names[int(labels[index])], names[said[index]]
        captions.append(f"true {true}, said {guess}, {100 * confidence[index]:.0f} %")
        text = captions[-1].replace(", said", ",\nsaid")
        axes.text(0.5, -0.05, text, transform=axes.transAxes, ha="center", va="top")
    for axes in grid.flat[len(worst) :]:
        axes.remove()

    shown = f"{len(worst)} worst of {len(wrong)} mistakes" if len(worst) < len(wrong) else (
        "The only mistake" if len(wrong) == 1 else f"All {len(wrong)} mistakes")  # fmt: skip
    title = f"{shown} among {len(labels):,} pictures, with the model's confidence in %"
    figure.suptitle(title, x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=11)
    figure.set_label(f"{title}: " + "; ".join(captions) + ".")
    return figure


def _nothing_wrong(pictures):
    figure = new_figure(1.2)
    text = f"No mistakes among {pictures:,} pictures"
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=13)
    figure.set_label(text + ".")
    return figure
