"""Convolution split over towers (AlexNet, sections 3.2 and 3.5)."""

import keras
from keras import ops

from .devices import call_on, copies_for, on_device, usable_devices
from .hyperparameters import choice, flag, from_keras, size
from .initializers import one_each
from .layout import (
    from_channels_last,
    on_any_batch,
    resolve_data_format,
    shape_from_channels_last,
    shape_to_channels_last,
    to_channels_last,
)
from .towers import apart_shape, check_towers, is_apart, joined_shape, split_towers


@keras.saving.register_keras_serializable(package="tfcnns")
class TowerConv(keras.layers.Layer):
    """2-D convolution whose filters are shared out among towers, AlexNet's two GPUs.

    Section 3.2 of Krizhevsky et al. Tower t of T holds the filters of its own slice of the output
    channels, F / T of them, and sees its own slice of the C input channels, or all of them:

        y_t = activation(x_t * W_t + b_t),   x_t = channels t * C / T .. (t + 1) * C / T - 1
        y_t = activation(x * W_t + b_t)      if `connected`   (* convolves)

    and y is y_0, y_1, ... side by side. AlexNet's conv2, conv4 and conv5 see their own tower;
    conv1 (the image) and conv3 (the other tower too) are `connected`. Apart from `connected` it is
    `keras.layers.Conv2D(groups=towers)`, whose kernel is W_0, W_1, ... along the last axis. Keras
    sends that through a slow path on CPUs; here each tower is a convolution of its own, with which
    a whole AlexNet trains about three times as fast there.

    The towers are the `keras.layers.Conv2D`s of `convs`, "tower0", "tower1", ..., each with a
    kernel and a bias: the same ones, in the same order, with or without `devices`.

    Args:
        filters: F, the number of output channels, a multiple of `towers`.
        kernel_size, strides, dilation_rate: pixels, as in `keras.layers.Conv2D`.
        towers: T.
        connected: if True every tower sees all input channels.
        devices: None, or the name of a device for each tower, such as ("/GPU:0", "/GPU:1"), that
            its variables and its convolution are put on, the gradient too. A saved layer that is
            opened where they don't exist works on one device, and says so in the log.
        joined: False to return a list with a tensor for each tower, which stays on its device.
        padding: "same" or "valid".
        activation: of each tower's channels.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        kernel_initializer, bias_initializer: one for all towers; it is given the shape, and so the
            fan-in and fan-out, of a single tower. Towers never repeat each other's random values:
            the first takes a seed as it is, the others one derived from it.
        use_bias, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: of
            every tower, as in `keras.layers.Conv2D`.
        activity_regularizer: of the whole output.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first, or a list of T such tensors
        with C / T channels, each tower's own.
    Output shape: (N, h, w, filters), or (N, filters, h, w); h and w as for `Conv2D`. With
        `joined=False` a list of T such with filters / T channels.

    Raises:
        ValueError: for filters, or without `connected` for input channels, that the towers can't
            share evenly, for devices that are not one per tower, don't exist or meet a
            tf.distribute strategy, and for what `Conv2D` refuses.

    Example:
        >>> maps = keras.Input((27, 27, 96))
        >>> layer = TowerConv(256, 5, activation="relu")
        >>> layer(maps).shape, tuple(layer.convs[0].kernel.shape)
        ((None, 27, 27, 256), (5, 5, 48, 128))

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, sections 3.2 and 3.5.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        towers=2,
        connected=False,
        devices=None,
        strides=1,
        padding="same",
        activation=None,
        data_format=None,
        dilation_rate=1,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        joined=True,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        shared = check_towers("filters", filters, towers, devices)
        self.filters, self.towers, self.devices = shared
        self.kernel_size = size("kernel_size", kernel_size)
        self.connected = flag("connected", connected)
        self.strides = size("strides", strides)
        self.padding = choice("padding", padding, ("same", "valid"), capitals=True)
        self.activation = from_keras("activation", activation)
        self.data_format = resolve_data_format(data_format)
        self.dilation_rate = size("dilation_rate", dilation_rate)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = from_keras("kernel_initializer", kernel_initializer)
        self.bias_initializer = from_keras("bias_initializer", bias_initializer)
        self.kernel_regularizer = from_keras("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = from_keras("bias_regularizer", bias_regularizer)
        self.kernel_constraint = from_keras("kernel_constraint", kernel_constraint)
        self.bias_constraint = from_keras("bias_constraint", bias_constraint)
        self.joined = flag("joined", joined)
        self._axis = -1 if self.data_format == "channels_last" else 1
        self._saved = False

        kernel_initializers = one_each(self.kernel_initializer, self.towers)
        bias_initializers = one_each(self.bias_initializer, self.towers)
        self.convs = [
            keras.layers.Conv2D(
                self.filters // self.towers,
                self.kernel_size,
                strides=self.strides,
                padding=padding,
                data_format="channels_last",
                dilation_rate=self.dilation_rate,
                activation=self.activation,
                use_bias=self.use_bias,
                kernel_initializer=kernel_initializers[tower],
                bias_initializer=bias_initializers[tower],
                kernel_regularizer=self.kernel_regularizer,
                bias_regularizer=self.bias_regularizer,
                kernel_constraint=self.kernel_constraint,
                bias_constraint=self.bias_constraint,
                dtype=self.dtype_policy,
                name=f"tower{tower}",
            )
            for tower in range(self.towers)
        ]

    def build(self, input_shape):
        whole = joined_shape(input_shape, self.towers, self._axis)
        if len(whole) != 4:
            raise ValueError(f"`TowerConv` takes images. Received: input_shape={input_shape}")
        *size, channels = shape_to_channels_last(whole, self.data_format)
        if channels is None:
            raise ValueError(
                "`TowerConv` needs to know the number of input channels. "
                f"Received: input_shape={input_shape}"
            )
        if not self.connected and channels % self.towers:
            raise ValueError(
                "The number of input channels must be a multiple of `towers`, or `connected` True. "
                f"Received: input_shape={input_shape}, towers={self.towers}"
            )
        if not is_apart(input_shape):
            self.input_spec = keras.layers.InputSpec(ndim=4, axes={self._axis: channels})
        self._devices = usable_devices(self.devices, self._saved)
        seen = channels if self.connected else channels // self.towers
        for tower, conv in enumerate(self.convs):
            with on_device(self._devices, tower):
                conv.build((*size, seen))

    def call(self, inputs):
        inputs = keras.tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), inputs)
        outputs = []
        for tower, seen in enumerate(self._seen(inputs)):
            conv = self.convs[tower]
            outputs.append(call_on(self._devices, tower, conv, seen, around=self._convolve))
        return ops.concatenate(outputs, axis=self._axis) if self.joined else outputs

    def _seen(self, inputs):
        """For each tower, what it sees: a tensor, or a list of tensors to be joined there."""
        if not self.connected:
            return split_towers(inputs, self.towers, self._axis)
        if not isinstance(inputs, (tuple, list)):
            return [inputs] * self.towers
        copies = [copies_for(self._devices, t, x, self.towers) for t, x in enumerate(inputs)]
        return list(zip(*copies, strict=True))

    def _convolve(self, conv, *x):
        x = ops.concatenate(x, axis=self._axis) if len(x) > 1 else x[0]
        x = to_channels_last(x, self.data_format)
        return from_channels_last(on_any_batch(conv, x), self.data_format)  # (N, h, w, F / T)

    def compute_output_shape(self, input_shape):
        whole = joined_shape(input_shape, self.towers, self._axis)
        shape = self.convs[0].compute_output_shape(shape_to_channels_last(whole, self.data_format))
        shape = shape_from_channels_last((*shape[:-1], self.filters), self.data_format)
        return shape if self.joined else apart_shape(shape, self.towers, self._axis)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "towers": self.towers,
            "connected": self.connected,
            "devices": self.devices,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "joined": self.joined,
        }

    @classmethod
    def from_config(cls, config):
        self = cls(**config)
        self._saved = True  # perhaps on a machine with other devices
        return self
