"""Batches of images the way convolutions want them: channels last, and at least one image.

Shapes are tuples, whose sizes may be None.
"""

import keras
from keras import ops


def resolve_data_format(data_format):
    """Returns `data_format`, or keras.config's where it is None; refuses anything else."""
    if data_format is None:
        return keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            '`data_format` must be "channels_last", "channels_first" or None. '
            f"Received: data_format={data_format!r}"
        )
    return data_format


def restore_tuple(value):
    """A list, which is what a saved file makes of a tuple, as a tuple again; the rest as it is."""
    return tuple(value) if isinstance(value, list) else value


# TensorFlow's convolutions on CPUs know channels last only, hence the transpositions; on GPUs its
# graph optimiser chooses the layout by itself, whatever the layer says.
def to_channels_last(x, data_format):
    return x if data_format == "channels_last" else ops.moveaxis(x, 1, -1)


def from_channels_last(x, data_format):
    return x if data_format == "channels_last" else ops.moveaxis(x, -1, 1)


def shape_to_channels_last(shape, data_format):
    return tuple(shape) if data_format == "channels_last" else (shape[0], *shape[2:], shape[1])


def shape_from_channels_last(shape, data_format):
    return tuple(shape) if data_format == "channels_last" else (shape[0], shape[-1], *shape[1:-1])


def on_any_batch(function, x):
    """`function(x)` for a batch of any size, 0 included, where `function` maps image to image.

    A replica gets an empty batch when the last one has fewer images than there are replicas, and
    TensorFlow 2.21's convolutions and pools on CPUs (oneDNN) then fail: their outputs have the
    shapes of their inputs, their gradients none at all. One spare image avoids that. Padding and
    slicing by nothing return their input, and so do their gradients (that of `y[:batch]` would
    copy), so that all other batches pay nothing for it. The spare image is of ones: a padding of
    zeros would be taken for the convolution's own, and done inside it.
    """
    batch, *size = ops.shape(x)
    if keras.backend.backend() != "tensorflow" or (isinstance(batch, int) and batch > 0):
        return function(x)
    spare = [(0, ops.maximum(1 - batch, 0))] + [(0, 0)] * len(size)
    x = ops.pad(x, spare, constant_values=1)
    y = function(x)
    return ops.slice(y, (0,) * len(y.shape), (batch, *ops.shape(y)[1:]))
