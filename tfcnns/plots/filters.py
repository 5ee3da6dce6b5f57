"""The filters of a net's first layer, one grid a tower (AlexNet, figure 3)."""

import numpy as np

from . import WIDTH, house_style, new_figure

COLUMNS = 16  # filters side by side, as in the paper's figure


def first_filters(model):
    """The kernels of the first layer with weights, if it looks at pixels.

    Args:
        model: a keras.Model of images.

    Returns:
        The layer's name and a list with an array (h, w, channels, filters) for each of its towers,
        or None if its kernels aren't spatial or don't see 1 or 3 channels.
    """
    for layer in model.layers:
        kernels = [np.asarray(w.value) for w in layer.weights if w.name == "kernel"]
        if kernels:
            shape = kernels[0].shape  # the 1x1 layers of an mlpconv have another
            if len(shape) != 4 or shape[2] not in (1, 3):
                return None
            return layer.name, [kernel for kernel in kernels if kernel.shape[:3] == shape[:3]]
    return None


@house_style()
def plot_filters(towers, name="conv1"):
    """Each filter as a small picture, where grey is a weight of zero.

    A filter is scaled to its own largest weight: what it looks for shows, not how strongly.

    Args:
        towers: list of (h, w, 1, filters) or (h, w, 3, filters), one a tower.
        name: of the layer.

    Returns:
        A Figure with an axis for each tower.
    """
    for kernels in towers:
        if np.ndim(kernels) != 4 or np.shape(kernels)[2] not in (1, 3):
            raise ValueError(
                f"filters must be (h, w, 1 or 3, n). Received: shape {np.shape(kernels)}"
            )
    grids = [_grid(np.asarray(kernels, "float32")) for kernels in towers]
    cell = (WIDTH - 0.2) / COLUMNS  # inches
    heights = [cell * grid.shape[0] / grid.shape[1] * COLUMNS for grid in grids]
    height = sum(heights) + 0.4 * len(grids) + 0.1
    figure = new_figure(height, layout="none")
    bottom = height
    for number, (grid, kernels, own) in enumerate(zip(grids, towers, heights, strict=True)):
        bottom -= 0.4 + own
        axes = figure.add_axes((0.1 / WIDTH, bottom / height, 1 - 0.2 / WIDTH, own / height))
        axes.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(_title(name, kernels, number if len(towers) > 1 else None))
    h, w, channels, _ = np.shape(towers[0])
    figure.set_label(
        f"Grids of {' and '.join(str(np.shape(k)[-1]) for k in towers)} filters of {name}, "
        f"{h} x {w} pixels, {'in colour' if channels == 3 else 'grey'}."
    )
    return figure


def _title(name, kernels, tower):
    h, w, channels, count = np.shape(kernels)
    which = name if tower is None else f"{name}, tower {tower}"
    seen = "RGB" if channels == 3 else "grey"
    return f"{which}: {count} filters of {h} x {w} pixels, {seen}; mid-grey: weight 0"


def _grid(kernels):
    """Filters side by side with a white pixel between them: (H, W) or (H, W, 3) in 0..1."""
    h, w, channels, count = kernels.shape
    largest = np.abs(np.nan_to_num(kernels)).max((0, 1, 2))
    pictures = 0.5 + np.nan_to_num(kernels) / np.maximum(2 * largest, 1e-30)
    rows = -(-count // COLUMNS)
    grid = np.ones((rows * (h + 1) - 1, COLUMNS * (w + 1) - 1, channels), "float32")
    for i in range(count):
        y, x = (i // COLUMNS) * (h + 1), (i % COLUMNS) * (w + 1)
        grid[y : y + h, x : x + w] = pictures[..., i]
    return grid[..., 0] if channels == 1 else grid
