"""The four splits of every data set, and where they come from when it has fewer.

"train" and "validation" are the images to tune with, "train+validation" all that may be
trained on in the end, "test" those of the paper's table.
"""

import numpy as np

from tfcnns.errors import UserError

SPLITS = ("train", "validation", "train+validation", "test")


def choose(split, available, where):
    """Which of a data set's own parts make a split, and whether some is held out of them.

    A data set's own test images, or its validation images if it has no others, are "test".
    Its validation images are "validation" if it has both; else some training images are
    held out for that.

    Args:
        split: one of `SPLITS`.
        available: the parts that there are, some of "train", "validation" and "test".
        where: what errors call the data set.

    Returns: names, a tuple of parts; and held: True for those held out of the part, False
        for the others, None for all.
    Raises: UserError if there is nothing to make the split from.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}. Received: split={split!r}")
    complete = {"validation", "test"} <= set(available)
    names, held = {
        "train": (("train",), None if complete else False),
        "validation": (("validation",), None) if complete else (("train",), True),
        "train+validation": (("train", "validation") if complete else ("train",), None),
        "test": (("test",) if "test" in available else ("validation",), None),
    }[split]
    for name in names:
        if name not in available:
            raise UserError(f"{where} has no {split} images; it has {', '.join(available)}")
    return names, held


def rows(held, examples, every, where):
    """The rows of a part that are held out (True), or the others (False): each `every`th."""
    out = np.arange(examples) % every == every - 1
    chosen = np.flatnonzero(out == held)
    if not len(chosen):
        raise UserError(f"{where} has {examples} training images, too few to hold some out")
    return chosen
