"""Scenes with boxes: what is true, what windows say, and what is left after merging."""

import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

from . import (
    BLUE,
    DPI,
    ORANGE,
    VERMILLION,
    WIDTH,
    as_pictures,
    house_style,
    new_figure,
    short_name,
    show_picture,
)

TRUE, FOUND = ORANGE, BLUE


@house_style()
def plot_detections(image, detection, class_names, least=0.0):
    """One picture with its boxes, as large as the picture is.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3).
        detection: dict of boxes (n, 4), classes (n,) and scores (n,).
        class_names: what the classes mean.
        least: boxes with a smaller score are not drawn.

    Returns:
        A Figure with one axis.
    """
    image = np.asarray(image)
    height, width = image.shape[:2]
    side = min(WIDTH / width, 9 / height)
    figure = new_figure(max(side * height, 0.5), width=max(side * width, 0.5), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    show_picture(axes, _picture(image, 2 * DPI * side), (height, width))
    drawn = 0
    for box, c, score in zip(*(detection[k] for k in ("boxes", "classes", "scores")), strict=True):
        if score >= least:
            _draw(axes, box, FOUND, f"{short_name(class_names[c])} {score:.1f}")
            drawn += 1
    figure.set_label(f"A picture with {drawn} boxes.")
    return figure


@house_style()
def plot_scenes(images, truths, raw, merged, class_names, least=0.0):
    """A row for each scene: the truth, all windows' boxes, the merged boxes.

    Args:
        images: list of (H, W, 1) or (H, W, 3).
        truths, raw, merged: lists of dicts of boxes and classes; the last two with scores.
        class_names: what the classes mean.
        least: merged boxes with a smaller score are not drawn.

    Returns:
        A Figure with three axes a scene.
    """
    figure, grid = _grid(len(images), 3)
    titles = ("true boxes", "boxes of all windows", "merged boxes")
    for row, image, truth, before, after in zip(grid, images, truths, raw, merged, strict=True):
        for axes in row:
            show_picture(axes, as_pictures(image[None])[0])
        for box, c in zip(truth["boxes"], truth["classes"], strict=True):
            _draw(row[0], box, TRUE, short_name(class_names[c]))
        scores = np.asarray(before["scores"], float)
        for box, score in zip(before["boxes"], np.minimum(scores, 1), strict=True):
            _draw(row[1], box, VERMILLION, alpha=0.05 + 0.4 * score, linewidth=0.8)
        row[1].text(
            0.5, -0.03, f"{len(scores)} boxes", transform=row[1].transAxes, ha="center", va="top"
        )
        for box, c, score in zip(
            after["boxes"], after["classes"], np.asarray(after["scores"], float), strict=True
        ):
            if score >= least:
                _draw(row[2], box, FOUND, f"{short_name(class_names[c])} {score:.0f}")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, loc="center")
    count = [sum(np.asarray(one["scores"]) >= least) for one in merged]
    figure.set_label(
        f"{len(images)} scenes with {sum(len(t['boxes']) for t in truths)} objects, "
        f"{sum(len(r['boxes']) for r in raw)} boxes of windows and {sum(count)} merged boxes."
    )
    return figure


@house_style()
def plot_votes(image, windows, scores, scales, class_names):
    """What the windows of each scale say about a scene: the best class of each, where it is sure.

    Args:
        image: (H, W, 1) or (H, W, 3).
        windows: list of (H', W', 4), pixel rectangles, one array a scale.
        scores: list of (H', W', classes).
        scales: what the scales are called.
        class_names: what the classes mean.

    Returns:
        A Figure with one axis a scale: a dot at the centre of each window, as large as its best
        class output, and the class's name where it is largest.
    """
    figure, grid = _grid(-(-len(scales) // 3), 3)
    for axes, place, score, scale in zip(grid.flat, windows, scores, scales, strict=False):
        show_picture(axes, as_pictures(image[None])[0] * 0.6 + 0.4)
        place, score = np.asarray(place), np.asarray(score)
        best = score.max(-1).ravel()
        x, y = ((place[..., i] + place[..., i + 2]).ravel() / 2 for i in (0, 1))
        axes.scatter(x, y, s=40 * best**2, c=best, cmap="viridis", vmin=0, vmax=1, linewidths=0)
        taken = []
        for i in np.argsort(-best, kind="stable")[:60]:
            if best[i] < 0.5 or any(abs(x[i] - a) + abs(y[i] - b) < 32 for a, b in taken):
                continue
            taken.append((x[i], y[i]))
            name = class_names[score.reshape(-1, score.shape[-1])[i].argmax()]
            axes.text(x[i], y[i], short_name(name), color=VERMILLION, ha="center", va="center",
                      weight="bold", fontsize=13)  # fmt: skip
        axes.set_title(f"{scale}: {place.shape[0]} x {place.shape[1]} windows", loc="center")
    for axes in grid.flat[len(scales) :]:
        axes.remove()
    figure.set_label(f"A scene at {len(scales)} scales, with a dot for each window.")
    return figure


def _picture(image, scale):
    """What is shown of a picture that is drawn at `scale`: of a large one of bytes, less.

    It is reduced by a whole factor, to no less than is drawn, and stays in bytes: matplotlib
    copies what it shows several times, in floats up to 80 bytes for each pixel.
    """
    factor = int(1 / scale)
    if factor < 2 or image.dtype != np.uint8:
        return as_pictures(image[None])[0]
    flat = image[..., 0] if image.shape[2:] == (1,) else image
    return np.asarray(Image.fromarray(flat).reduce(factor).convert("RGB"))


def _grid(rows, columns):
    side = WIDTH / columns
    height = rows * (side + 0.3) + 0.3
    figure = new_figure(height, layout="none")
    grid = figure.subplots(
        rows, columns, squeeze=False,
        gridspec_kw={"left": 0.01, "right": 0.99, "top": 1 - 0.35 / height,
                     "bottom": 0.25 / height, "wspace": 0.03, "hspace": 0.12},
    )  # fmt: skip
    return figure, grid


def _draw(axes, box, color, text=None, **style):
    x0, y0, x1, y1 = (float(edge) - 0.5 for edge in box)  # pixel centres are whole numbers there
    style = {"linewidth": 2, **style}
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, **style))
    if text:
        above = y0 > 6  # pixels, room for the text
        axes.text(x0, y0, text, color="white", fontsize=9, va="bottom" if above else "top",
                  clip_on=True,
                  bbox={"facecolor": color, "edgecolor": "none", "pad": 1.5})  # fmt: skip
