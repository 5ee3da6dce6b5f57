"""Convolution whose weights are not shared between positions (cuda-convnet's "local" layers)."""

import keras
from keras import ops

from .hyperparameters import choice, flag, from_keras, pair, size, whole
from .initializers import one_each
from .layout import (
    from_channels_last,
    resolve_data_format,
    shape_from_channels_last,
    shape_to_channels_last,
    to_channels_last,
)


@keras.saving.register_keras_serializable(package="tfcnns")
class LocalConv(keras.layers.Layer):
    """2-D convolution with a kernel of its own at every position: locally connected, unshared.

    The nets behind AlexNet's numbers on CIFAR-10 (section 3.3) end in two such layers, "local3" and
    "local4". At output position (y, x), filter f, with stride s and the zeros of `padding` around
    the input:

        z_f(y, x) = activation(sum_{i, j, c} input_c(s y + i, s x + j) W_{y, x, i, j, c, f}
                               + b_{y, x, f})

    With the same W and b everywhere it is `keras.layers.Conv2D`. There are h * w times as many
    weights, so the input has to have a fixed size. Weights that only ever see the zeros around the
    image get no gradient; they are counted, as in cuda-convnet.

    Args:
        filters: the number of output channels.
        kernel_size, strides: pixels; an integer, or a pair (height, width).
        padding: "same" or "valid", as in `keras.layers.Conv2D`.
        activation: of z.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        use_bias: if False, z has no b.
        kernel_initializer: for the kernel of one position, (kh, kw, C, filters), whose fan-in and
            fan-out are those of a `Conv2D`. No two positions get the same random values: the first
            takes a seed as it is, the others one derived from it.
        bias_initializer: for all biases at once, (h, w, filters).
        kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
        bias_constraint: as in `keras.layers.Conv2D`; of the whole kernel.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first; all but N known.
    Output shape: (N, h, w, filters), or (N, filters, h, w); h and w as for `Conv2D`.
    Weights: kernel (h, w, kh, kw, C, filters), bias (h, w, filters).

    Raises:
        ValueError: for arguments outside what is said above, an input of unknown size, and one that
            is smaller than the kernel with padding="valid".

    Example:
        >>> maps = keras.Input((6, 6, 64))
        >>> layer = LocalConv(32, 3, activation="relu")
        >>> layer(maps).shape, tuple(layer.kernel.shape)
        ((None, 6, 6, 32), (6, 6, 3, 3, 64, 32))

    Source: cuda-convnet, LocalUnsharedLayer in layer.cu and layer.py; its layers-conv-local-11pct
    and -13pct. Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NIPS 2012, section 3.3, quotes these nets' errors.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        padding="same",
        strides=1,
        activation=None,
        data_format=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = whole("filters", filters)
        self.kernel_size = size("kernel_size", kernel_size)
        self.padding = choice("padding", padding, ("same", "valid"), capitals=True)
        self.strides = size("strides", strides)
        self.activation = from_keras("activation", activation)
        self.data_format = resolve_data_format(data_format)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = from_keras("kernel_initializer", kernel_initializer)
        self.bias_initializer = from_keras("bias_initializer", bias_initializer)
        self.kernel_regularizer = from_keras("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = from_keras("bias_regularizer", bias_regularizer)
        self.kernel_constraint = from_keras("kernel_constraint", kernel_constraint)
        self.bias_constraint = from_keras("bias_constraint", bias_constraint)
        self.input_spec = keras.layers.InputSpec(ndim=4)

        self._kernel_size = pair(self.kernel_size)
        self._strides = pair(self.strides)

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(
                "`LocalConv` has weights for each position and needs to know the size of its "
                f"input. Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        _, height, width, channels = shape_to_channels_last(input_shape, self.data_format)
        size = self._output_size((height, width), input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*size, *self._kernel_size, channels, self.filters),
            initializer=self._each_position,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(*size, self.filters),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _each_position(self, shape, dtype=None):
        height, width, *kernel = shape
        own = one_each(self.kernel_initializer, height * width)
        return ops.reshape(ops.stack([each(kernel, dtype=dtype) for each in own]), shape)

    def call(self, inputs):
        x = to_channels_last(inputs, self.data_format)
        (h, w), (sy, sx) = self.kernel.shape[:2], self._strides
        x = ops.pad(x, [(0, 0), *self._margins(ops.shape(x)[1:3]), (0, 0)])
        # As slices: Keras' extract_patches is a convolution, with a sum of k^2 C zeros per value.
        patches = [
            x[:, i : i + (h - 1) * sy + 1 : sy, j : j + (w - 1) * sx + 1 : sx]
            for i in range(self._kernel_size[0])
            for j in range(self._kernel_size[1])
        ]
        patches = ops.concatenate(patches, axis=-1)  # (N, h, w, kh * kw * C)
        kernel = ops.reshape(self.kernel, (h, w, -1, self.filters))
        z = ops.einsum("nhwk,hwkf->nhwf", patches, kernel)  # a matrix product a position
        if self.bias is not None:
            z = z + self.bias
        return from_channels_last(self.activation(z), self.data_format)

    def _margins(self, size):
        """Zeros (before, after) along height and width; the odd one comes after."""
        margins = []
        for length, kernel, stride in zip(size, self._kernel_size, self._strides, strict=True):
            total = 0
            if self.padding.lower() == "same":
                total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            margins.append((total // 2, total - total // 2))
        return margins

    def _output_size(self, size, input_shape):
        """(h, w) for the input's (H, W)."""
        margins = self._margins(size)
        lengths = [length + sum(margin) for length, margin in zip(size, margins, strict=True)]
        if any(a < b for a, b in zip(lengths, self._kernel_size, strict=True)):
            raise ValueError(
                f"`kernel_size` {self.kernel_size} must fit into the input. "
                f"Received: input_shape={input_shape}"
            )
        return tuple(
            (length - kernel) // stride + 1
            for length, kernel, stride in zip(
                lengths, self._kernel_size, self._strides, strict=True
            )
        )

    def compute_output_shape(self, input_shape):
        batch, *size, _ = shape_to_channels_last(input_shape, self.data_format)
        size = self._output_size(size, input_shape)
        return shape_from_channels_last((batch, *size, self.filters), self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "padding": self.padding,
            "strides": self.strides,
            "activation": keras.activations.serialize(self.activation),
            "data_format": self.data_format,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
