"""Weights as a file that is there whole or not at all, whatever happens to the disk."""

import io

from tfcnns.files import whole


def save_weights(model, file):
    """`model.save_weights`, made in memory first.

    HDF5 doesn't survive a disk that fills while it writes: the process ends in a segmentation
    fault. So the disk sees nothing of it but bytes, and the older file stays.

    Args:
        model: a built keras.Model.
        file: path ending in .weights.h5.

    Raises: OSError if it can't be written.
    """
    made = _Memory()
    model.save_weights(made)
    with whole(file) as temporary, open(temporary, "wb") as out:
        out.write(made.getbuffer())


class _Memory(io.BytesIO):
    """What Keras takes for a file of weights, whose endings it wants to see."""

    def __str__(self):
        return "memory.weights.h5"
