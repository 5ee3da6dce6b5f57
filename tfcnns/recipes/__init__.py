"""Recipes: one file per published result, found by name, or a file of the user's own.

A recipe is a plain module with a docstring, `PAPER`, and four functions:

    config() -> dict of values that --set name=value may change
    data(config, split, worker, workers) -> tf.data.Dataset of (images, labels) batches
    model(config) -> keras.Model, not compiled
    compile(model, config) -> compiles it; may return a list of callbacks to train with

and, of one that finds boxes, two more, for `evaluate`, `detect` and `plot`:

    boxes(config, split) -> the `pipelines.source.Source` of whole images with boxes
    detector(config) -> dict of the arguments of `tfcnns.detection.detect` for its model

both of which return None for a config that makes a classifier. Two more, where they are, say
what an image is to the model at test, in `data`, in `predict` and in an export:

    view(config) -> function of an image, as the functions of `pipelines.jpeg` take it, to the
        model's input (h, w, C), or several of them (views, h, w, C), whose scores are averaged
    vote(config) -> dict of the arguments of `tfcnns.detection.multiscale_vote`, which then has
        the image from `view`; or None

Splits are "train", "validation" (may be None: nothing is held out) and "test". A recipe
whose config has `first_step` returns for "train" one stream over all `epochs`, from that
step on (`tfcnns.pipelines.batches` makes such streams); one without returns a single
epoch, which is read again for each.
"""

import ast
import pathlib

from tfcnns.errors import UserError
from tfcnns.nearest import nearest

_HERE = pathlib.Path(__file__).parent


def names():
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in _HERE.glob("*.py") if path.stem != "__init__")


def find(name):
    """Path of a recipe: a name from `names()`, or a path to a Python file.

    Raises:
        UserError: neither; the message holds the nearest names.
    """
    path = pathlib.Path(name)
    if path.suffix == ".py" or len(path.parts) > 1:
        if not path.is_file():
            raise UserError(f"no recipe file at {name}")
        return path
    if name not in names():
        raise UserError(f"unknown recipe {name!r}{nearest(name, names())}; --list shows all")
    return _HERE / f"{name}.py"


def paper(path):
    """The recipe's `PAPER` dict, read from its text without running it; {} if none."""
    for node in ast.parse(pathlib.Path(path).read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "PAPER":
            return ast.literal_eval(node.value)
    return {}
