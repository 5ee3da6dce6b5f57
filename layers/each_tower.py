"""A layer that does the same for each tower, on its device."""

import keras
from keras import ops

from .devices import call_on, usable_devices
from .hyperparameters import flag
from .towers import apart_shape, check_towers, joined_shape, split_towers


@keras.saving.register_keras_serializable(package="tfcnns")
class EachTower(keras.layers.Layer):
    """Applies a layer without weights, such as a pool, to the channels of each tower alone.

    For layers that treat every channel alike it computes what the layer does; what it adds is the
    place: each tower's share is worked out on its device, forwards and backwards.

    Args:
        layer: the layer, which may have no weights and keeps the channels last.
        towers: T, the number of towers.
        devices: None, or the name of a device for each tower.
        joined: False to return a list with a tensor for each tower.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, ..., C), or a list of T tensors (N, ..., C / T).
    Output shape: what the layer makes of it, or a list of T such.

    Raises:
        ValueError: for a layer with weights, and for channels that the towers can't share evenly.

    Example:
        >>> maps = keras.Input((27, 27, 96))
        >>> EachTower(keras.layers.MaxPooling2D(3, 2), joined=False)(maps)[1].shape
        (None, 13, 13, 48)
    """

    def __init__(self, layer, towers=2, devices=None, joined=True, **kwargs):
        super().__init__(**kwargs)
        _, self.towers, self.devices = check_towers("towers", towers, towers, devices)
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"`layer` must be a Keras layer. Received: layer={layer!r}")
        self.layer = layer
        self.joined = flag("joined", joined)
        self._saved = False

    def build(self, input_shape):
        whole = joined_shape(input_shape, self.towers, -1)
        if whole[-1] is None or whole[-1] % self.towers:
            raise ValueError(
                "The number of channels must be known and a multiple of `towers`. "
                f"Received: input_shape={input_shape}, towers={self.towers}"
            )
        self._devices = usable_devices(self.devices, self._saved)
        if not self.layer.built:
            self.layer.build(apart_shape(whole, self.towers, -1)[0])
        if self.layer.weights:
            raise ValueError(
                f"`layer` must have no weights. Received: layer={self.layer.name} with "
                f"{len(self.layer.weights)} of them"
            )

    def call(self, inputs):
        towers = enumerate(split_towers(inputs, self.towers, -1))
        outputs = [call_on(self._devices, t, self.layer, x, around=self._cast) for t, x in towers]
        return ops.concatenate(outputs, axis=-1) if self.joined else outputs

    def _cast(self, layer, x):
        return ops.cast(layer(x), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        whole = joined_shape(input_shape, self.towers, -1)
        one = self.layer.compute_output_shape(apart_shape(whole, self.towers, -1)[0])
        shapes = [tuple(one)] * self.towers
        return joined_shape(shapes, self.towers, -1) if self.joined else shapes

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        layer.pop("build_config", None)  # `build` does it
        return {
            **super().get_config(),
            "layer": layer,
            "towers": self.towers,
            "devices": self.devices,
            "joined": self.joined,
        }

    @classmethod
    def from_config(cls, config):
        layer = keras.saving.deserialize_keras_object(config["layer"])
        self = cls(**{**config, "layer": layer})
        self._saved = True  # perhaps on a machine with other devices
        return self
