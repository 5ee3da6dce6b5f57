"""Dense layer split over towers (AlexNet, section 3.5)."""

import keras
from keras import ops

from .devices import call_on, on_device, usable_devices
from .hyperparameters import flag, from_keras
from .initializers import one_each
from .towers import check_towers


@keras.saving.register_keras_serializable(package="tfcnns")
class TowerDense(keras.layers.Layer):
    """Dense layer whose units are shared out among towers, AlexNet's two GPUs.

    Section 3.5 of Krizhevsky et al.: fc6 and fc7 have 2048 units on each GPU, all of which see the
    whole layer before. Tower t of T holds the weights of its own slice of the units:

        y_t = activation(x W_t + b_t),   W_t: d x units / T,   b_t: units / T

    and y is y_0, y_1, ... side by side: `keras.layers.Dense` with the columns of its kernel cut
    into T variables. The towers are the `keras.layers.Dense`s of `denses`, "tower0", "tower1", ...,
    each with a kernel and a bias: the same ones, in the same order, with or without `devices`.

    Args:
        units: the number of outputs, a multiple of `towers`.
        towers: T.
        devices: None, or the name of a device for each tower, such as ("/GPU:0", "/GPU:1"), that
            its variables and its product are put on, the gradient too. A saved layer that is
            opened where they don't exist works on one device, and says so in the log.
        activation: of each tower's units.
        kernel_initializer, bias_initializer: one for all towers; it is given the shape, and so the
            fan-in and fan-out, of a single tower. Towers never repeat each other's random values:
            the first takes a seed as it is, the others one derived from it.
        use_bias, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: of
            every tower, as in `keras.layers.Dense`.
        activity_regularizer: of the whole output.
        quantized: what `keras.Model.quantize` has made of each tower, from a saved configuration.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, ..., d), of rank 2 or more.
    Output shape: (N, ..., units).

    Raises:
        ValueError: for units that the towers can't share evenly, for devices that are not one per
            tower, don't exist or meet a tf.distribute strategy, and for an input with an unknown
            number of features.

    Example:
        >>> maps = keras.Input((9216,))
        >>> layer = TowerDense(4096, activation="relu")
        >>> layer(maps).shape, tuple(layer.denses[0].kernel.shape)
        ((None, 4096), (9216, 2048))

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 3.5.
    """

    def __init__(
        self,
        units,
        towers=2,
        devices=None,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        quantized=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        shared = check_towers("units", units, towers, devices)
        self.units, self.towers, self.devices = shared
        self.activation = from_keras("activation", activation)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = from_keras("kernel_initializer", kernel_initializer)
        self.bias_initializer = from_keras("bias_initializer", bias_initializer)
        self.kernel_regularizer = from_keras("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = from_keras("bias_regularizer", bias_regularizer)
        self.kernel_constraint = from_keras("kernel_constraint", kernel_constraint)
        self.bias_constraint = from_keras("bias_constraint", bias_constraint)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True
        self._saved = False

        kernel_initializers = one_each(self.kernel_initializer, self.towers)
        bias_initializers = one_each(self.bias_initializer, self.towers)
        self.denses = [
            keras.layers.Dense(
                self.units // self.towers,
                activation=self.activation,
                use_bias=self.use_bias,
                kernel_initializer=kernel_initializers[tower],
                bias_initializer=bias_initializers[tower],
                kernel_regularizer=self.kernel_regularizer,
                bias_regularizer=self.bias_regularizer,
                kernel_constraint=self.kernel_constraint,
                bias_constraint=self.bias_constraint,
                name=f"tower{tower}",
                **{"dtype": self.dtype_policy, **(quantized[tower] if quantized else {})},
            )
            for tower in range(self.towers)
        ]

    def build(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                "`TowerDense` needs to know the last dimension of its input. "
                f"Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})
        self._devices = usable_devices(self.devices, self._saved)
        for tower, dense in enumerate(self.denses):
            with on_device(self._devices, tower):
                dense.build(input_shape)

    def call(self, inputs):
        outputs = [
            call_on(self._devices, tower, dense, inputs)  # (N, ..., units / towers)
            for tower, dense in enumerate(self.denses)
        ]
        return ops.concatenate(outputs, axis=-1)  # (N, ..., units)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "towers": self.towers,
            "devices": self.devices,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "quantized": self._quantized(),
        }

    def _quantized(self):
        """For each tower the arguments that make a quantized `Dense`, if any tower is one."""
        if not any(dense.quantization_mode for dense in self.denses):
            return None
        names = ("dtype", "quantization_config")
        configs = [dense.get_config() for dense in self.denses]
        return [{name: c[name] for name in names if name in c} for c in configs]

    @classmethod
    def from_config(cls, config):
        quantized = keras.saving.deserialize_keras_object(config.get("quantized"))
        self = cls(**{**config, "quantized": quantized})
        self._saved = True  # perhaps on a machine with other devices
        return self
