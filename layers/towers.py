"""Channels in towers: as one tensor, or as a list with a tensor for each tower.

A list keeps every tower's maps on its own device from one layer to the next, where a tensor of
all channels would be gathered on one device and dealt out again. Channels are the last axis of
channels-last tensors and the second of the others. Shapes are tuples, whose sizes may be None.
"""

from keras import ops

from .hyperparameters import whole
from .layout import restore_tuple


def check_towers(name, outputs, towers, devices):
    """`outputs` (the argument `name`), `towers` and `devices`, which the towers can share."""
    outputs, towers = whole(name, outputs), whole("towers", towers)
    if outputs % towers:
        raise ValueError(
            f"`{name}` must be a multiple of `towers`. Received: {name}={outputs}, towers={towers}"
        )
    if devices is not None and (
        not isinstance(devices, (tuple, list))
        or len(devices) != towers
        or not all(isinstance(device, str) for device in devices)
    ):
        raise ValueError(
            "`devices` must be None or a sequence of device names, one for each tower. "
            f"Received: devices={devices!r}, towers={towers}"
        )
    return outputs, towers, restore_tuple(devices)


def is_apart(shape):
    """Whether `shape` is a list of shapes, one for each tower."""
    return bool(shape) and isinstance(shape[0], (tuple, list))


def joined_shape(shape, towers, axis):
    """The shape of all channels, for that of a tensor or for those of a list."""
    if not is_apart(shape):
        return tuple(shape)
    channels = [one[axis] for one in shape]
    if len(shape) != towers or len(set(channels)) != 1:
        raise ValueError(
            "A list as input must hold a tensor for each tower, with equally many channels. "
            f"Received: input_shape={shape}, towers={towers}"
        )
    whole = list(shape[0])
    whole[axis] = None if channels[0] is None else channels[0] * towers
    return tuple(whole)


def apart_shape(shape, towers, axis):
    """The shapes of the list that the tensor of that shape is split into."""
    shape = list(shape)
    shape[axis] = None if shape[axis] is None else shape[axis] // towers
    return [tuple(shape)] * towers


def split_towers(x, towers, axis):
    """A tensor as the list of its towers; a list stays one."""
    return list(x) if isinstance(x, (tuple, list)) else ops.split(x, towers, axis=axis)
