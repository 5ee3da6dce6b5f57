"""Which device holds and works out what: a model's layers, drawn as its towers."""

import itertools

from . import BLUE, GREY, ORANGE, VERMILLION, house_style, new_figure

ROW = 0.44  # inches
_COLOURS = (BLUE, VERMILLION, ORANGE, "#009E73", "#56B4E9", "#CC79A7")


@house_style()
def plot_placement(places, free):
    """A column for each device, a row for each layer, a box for what it has there.

    Args:
        places: of `tfcnns.training.placement_report.placement`.
        free: the device of what isn't bound to one; its column is grey and stands last.

    Returns:
        A Figure with one axis.
    """
    layers = list(dict.fromkeys(p.layer for p in places))
    devices = sorted({p.device for p in places} - {free})
    columns = [*devices, *([free] if any(p.device == free for p in places) else [])]
    figure = new_figure(ROW * (len(layers) + 2.4), width=2.2 + 2.4 * len(columns))
    axes = figure.add_subplot()
    axes.set(xlim=(-0.75, len(columns) - 0.45), ylim=(len(layers) - 0.4, -1.1))
    axes.set_axis_off()
    axes.set_title(
        "Where a training step holds and works out what\n"
        "fwd, bwd, upd: operations forwards, backwards, in the update; "
        "in: numbers an image from another device",
        fontsize=9,
    )
    for column, device in enumerate(columns):
        colour = GREY if device == free else _COLOURS[column % len(_COLOURS)]
        axes.text(column, -0.75, device, ha="center", va="center", color=colour, weight="bold")
    for row, layer in enumerate(layers):
        axes.text(-0.72, row, layer, va="center")
        here = {p.device: p for p in places if p.layer == layer}
        for column, device in enumerate(columns):
            if device in here:
                colour = GREY if device == free else _COLOURS[column % len(_COLOURS)]
                _draw_box(axes, column, row, here[device], colour)
        for column, (left, right) in enumerate(itertools.pairwise(devices)):
            if left in here and right in here and (here[left].received or here[right].received):
                axes.annotate(
                    "",
                    (column + 0.57, row),
                    (column + 0.43, row),
                    arrowprops={"arrowstyle": "<->", "color": "black"},
                )
    weights = {d: sum(p.weights for p in places if p.device == d) for d in devices}
    held = ", ".join(f"{count:,} weights on {device}" for device, count in weights.items())
    crossing = [p.layer for p in places if p.received]
    figure.set_label(
        f"Placement of {len(layers)} layers: {held}. Devices exchange maps in: "
        f"{', '.join(dict.fromkeys(crossing)) or 'none of them'}."
    )
    return figure


def _draw_box(axes, column, row, place, colour):
    kinds = {"fwd": place.forward, "bwd": place.backward, "upd": place.update}
    lines = []
    if place.weights or place.slots:
        lines.append(f"{place.weights:,} weights, {place.slots:,} slots")
    work = " · ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    if place.compiled:
        work += f" · {place.compiled} XLA"
    if place.received:
        work += f" · {place.received:,} in"
    if work:
        lines.append(work)
    axes.text(
        column,
        row,
        "\n".join(lines),
        ha="center",
        va="center",
        fontsize=7.5,
        linespacing=1.15,
        bbox={"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": colour},
    )
