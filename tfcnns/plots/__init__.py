"""Pictures of runs: NumPy arrays in, matplotlib figures out.

One plot a file: `curves` (loss and error), `confusion` (which class is taken for which),
`mistakes` (the worst pictures), `class_maps` (where NIN sees each class), `filters` (of the first
layer), `nearest` (what the last hidden layer finds alike), `comparison` (curves of several runs).
`report` puts figures into one HTML page or into PNG and SVG files. This file holds what all of them
share: size, colours and how a picture is shown.

Figures are drawn on their own Agg canvas, never through pyplot, and under `house_style`,
so that neither the user's matplotlib settings nor ours reach the other. A figure's label
(`figure.get_label()`) says in a sentence what it shows: the alt text of the report.
"""

import logging

# Before matplotlib is imported: its notes on font caches and cache folders are not for a
# user of our scripts. A level that somebody has already chosen stays.
if logging.getLogger("matplotlib").level == logging.NOTSET:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 9.4  # inches at 100 dpi: fits a page 1000 px wide
DPI = 100
CHARACTER = 0.078  # inches that a letter of the text takes on average, generously
# Okabe and Ito's colours, told apart by colour-blind people too.
BLUE, VERMILLION, ORANGE = "#0072B2", "#D55E00", "#E69F00"
OKABE_ITO = (BLUE, VERMILLION, "#009E73", "#CC79A7", ORANGE, "#56B4E9", "#000000")  # on white
GREY = "#595959"  # the lightest grey that text may have on white (contrast 7:1)

_STYLE = {
    **{k: v for k, v in matplotlib.rcParamsDefault.items() if "backend" not in k},
    "figure.dpi": DPI,
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a class may be called "$100"
    "svg.hashsalt": "tfcnns",  # the same figure gives the same file
}


def house_style():
    """The settings all figures are drawn and saved under; a context and a decorator."""
    return matplotlib.rc_context(_STYLE)


def new_figure(height, width=WIDTH, layout="constrained"):
    """An empty white figure of the given size in inches on an Agg canvas."""
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def short_name(name, length=18):
    """A class name on one line, at most `length` characters long."""
    name = " ".join(str(name).split())
    return name if len(name) <= length else name[: length - 1] + "…"


def as_pictures(images):
    """Images of any number type as floats in 0..1 that can be shown.

    Bytes are divided by 255 and floats within 0..1 stay. Other floats (whitened, or scaled
    otherwise) are stretched image by image from their smallest to their largest value.

    Args:
        images: (N, h, w), (N, h, w, 1) or (N, h, w, 3).

    Returns:
        (N, h, w) or (N, h, w, 3), float32.
    """
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[-1] == 3):
        raise ValueError(
            "images must be (N, h, w) with 1 or 3 channels or none. "
            f"Received: images.shape={images.shape}"
        )
    if images.dtype == np.uint8:
        return images.astype("float32") / 255
    images = np.nan_to_num(images.astype("float32"), posinf=0, neginf=0)
    if images.size == 0 or (images.min() >= 0 and images.max() <= 1):
        return images
    axes = tuple(range(1, images.ndim))
    low, high = images.min(axes, keepdims=True), images.max(axes, keepdims=True)
    return (images - low) / np.where(high > low, high - low, 1)


def show_picture(axes, picture, shape=None):
    """Shows one of `as_pictures`, pixel by pixel, without a frame or ticks.

    shape: height and width of what it stands for, if it was reduced; the axes count its pixels.
    """
    extent = (-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5) if shape else None
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent)
    axes.set_axis_off()
