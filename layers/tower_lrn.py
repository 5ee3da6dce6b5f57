"""Local response normalisation of maps that lie on several devices (AlexNet, section 3.3)."""

import functools

import keras
from keras import ops

from .devices import run_on, usable_devices
from .hyperparameters import flag
from .lrn import LRN
from .towers import apart_shape, check_towers, joined_shape, split_towers


@keras.saving.register_keras_serializable(package="tfcnns")
class TowerLRN(LRN):
    """`LRN` over the channels of all towers, each of which normalises its own on its device.

    The window of the formula runs on from a tower's last channels to the next one's first. So the
    `depth_radius` channels on either side of each seam are copied to the neighbour, and nothing
    else: 2 of 48 maps in AlexNet's norm1, where gathering on one GPU would copy all 48, twice.
    Backwards the same channels of the gradient go the other way.

    Args:
        towers: T, the number of towers.
        devices: None, or the name of a device for each tower.
        joined: False to return a list with a tensor for each tower.
        **kwargs: what `LRN` takes.

    Input shape: (N, ..., C), or (N, C, ...) for channels first, or a list of T such tensors with
        C / T channels.
    Output shape: that of one tensor, or with `joined=False` of a list.

    Raises:
        ValueError: for what `LRN` refuses, and for channels that the towers can't share evenly.

    Example:
        >>> towers = [keras.Input((55, 55, 48)), keras.Input((55, 55, 48))]
        >>> TowerLRN()(towers).shape
        (None, 55, 55, 96)

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, sections 3.2 and 3.3.
    """

    def __init__(self, depth_radius=2, *args, towers=2, devices=None, joined=True, **kwargs):
        super().__init__(depth_radius, *args, **kwargs)
        _, self.towers, self.devices = check_towers("towers", towers, towers, devices)
        self.input_spec = None  # a list may come as well as a tensor
        self.joined = flag("joined", joined)
        self._axis = -1 if self.data_format == "channels_last" else 1
        self._saved = False

    def build(self, input_shape):
        whole = joined_shape(input_shape, self.towers, self._axis)
        if whole[self._axis] is None or whole[self._axis] % self.towers:
            raise ValueError(
                "The number of channels must be known and a multiple of `towers`. "
                f"Received: input_shape={input_shape}, towers={self.towers}"
            )
        self._devices = usable_devices(self.devices, self._saved)

    def call(self, inputs):
        towers = split_towers(inputs, self.towers, self._axis)
        # Cut by their owner, which also adds up what comes back: no neighbour sees a whole tower.
        cut = [run_on(self._devices, t, self._with_edges, x) for t, x in enumerate(towers)]
        outputs = []
        for tower, (own, _, _) in enumerate(cut):
            left = self._nearest([last for _, _, last in reversed(cut[:tower])])[::-1]
            right = self._nearest([first for _, first, _ in cut[tower + 1 :]])
            normalize = functools.partial(self._normalize_one, len(left))
            outputs.append(run_on(self._devices, tower, normalize, *left, own, *right))
        return ops.concatenate(outputs, axis=self._axis) if self.joined else outputs

    def _with_edges(self, x):
        """A tower's maps, and its first and last ones, as many as a window may reach."""
        channels = x.shape[self._axis]
        reach = min(self.depth_radius, channels)
        first = _channels(x, 0, reach, self._axis)
        return [x, first, _channels(x, channels - reach, channels, self._axis)]

    def _nearest(self, edges):
        """Of the edges on one side of a seam, nearest first, those that the window reaches."""
        taken = reach = 0
        while taken < len(edges) and reach < self.depth_radius:
            reach += edges[taken].shape[self._axis]
            taken += 1
        return edges[:taken]

    def _normalize_one(self, left, *maps):
        """The tower's maps, normalised, out of those of `left` edges, the tower, and more edges."""
        before = sum(x.shape[self._axis] for x in maps[:left])
        y = super().call(ops.concatenate(maps, axis=self._axis))
        return _channels(y, before, before + maps[left].shape[self._axis], self._axis)

    def compute_output_shape(self, input_shape):
        whole = joined_shape(input_shape, self.towers, self._axis)
        return whole if self.joined else apart_shape(whole, self.towers, self._axis)

    def get_config(self):
        return {
            **super().get_config(),
            "towers": self.towers,
            "devices": self.devices,
            "joined": self.joined,
        }

    @classmethod
    def from_config(cls, config):
        self = cls(**config)
        self._saved = True  # perhaps on a machine with other devices
        return self


def _channels(x, start, stop, axis):
    return x[..., start:stop] if axis == -1 else x[:, start:stop]
