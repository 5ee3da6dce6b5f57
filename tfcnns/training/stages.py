"""What the second stage of a training needs to know of the first.

Maxout and NIN were trained twice: on a part of the training set, to find out how long, then
on all of it, from scratch for as many epochs (maxout on CIFAR-10) or on from the best weights
(maxout on MNIST: `StopWhenMatched`).
"""

import csv

from tfcnns.training.watching import is_better


def best_epoch(history, monitor="val_loss"):
    """The first row of a run's history.csv with the best value of `monitor`.

    Args:
        history: path of history.csv.
        monitor: its column to go by; smaller is better unless its name holds "accuracy".

    Returns:
        dict of the row's columns as floats, "epoch" (counted from 1) as int.

    Raises:
        ValueError: no such column, or no row with a number in it.
    """
    with open(history, newline="") as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    best = None
    for row in rows:
        if monitor in row and is_better(monitor, row[monitor], best and best[monitor]):
            best = row
    if best is None:
        columns = list(rows[0]) if rows else []
        raise ValueError(f"{history} has no values of {monitor!r}; its columns are {columns}")
    return {**best, "epoch": int(best["epoch"])}
