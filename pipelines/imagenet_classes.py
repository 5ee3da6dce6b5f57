"""The names of ImageNet's 1,000 classes, in the order of a network's outputs."""

import functools
import pathlib

from tfcnns.errors import UserError

ORDERS = ("wnid", "overfeat")


@functools.cache
def _table():
    """Rows of identifier, name, number in the OverFeat release; ascending identifiers."""
    text = pathlib.Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return tuple((wnid, name, int(number)) for wnid, name, number in rows)


def _ordered(order):
    if order not in ORDERS:
        raise UserError(f"order must be one of {', '.join(ORDERS)}. Received: order={order!r}")
    return _table() if order == "wnid" else sorted(_table(), key=lambda row: row[2])


def imagenet_class_names(order="wnid"):
    """1,000 names, such as "tench", none twice.

    order: "wnid", ascending WordNet identifiers, which is that of tensorflow-datasets, of
        Caffe's models and of everything trained here; "overfeat", that of the weights
        which OverFeat's authors released.
    """
    return tuple(name for _, name, _ in _ordered(order))


def imagenet_wnids(order="wnid"):
    """1,000 WordNet identifiers, such as "n01440764", in the order of `imagenet_class_names`."""
    return tuple(wnid for wnid, _, _ in _ordered(order))


def readable(names):
    """Class names as a tuple, identifiers of ImageNet's classes replaced by their names."""
    known = {wnid: name for wnid, name, _ in _table()}
    return tuple(known.get(name, name) for name in names)
