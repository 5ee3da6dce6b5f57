"""Convolutional maxout (Maxout Networks, section 3)."""

from functools import reduce

import keras
from keras import ops

from .hyperparameters import choice, flag, from_keras, pair, size, whole
from .layout import (
    from_channels_last,
    on_any_batch,
    resolve_data_format,
    shape_from_channels_last,
    shape_to_channels_last,
    to_channels_last,
)
from .xla import segment


@keras.saving.register_keras_serializable(package="tfcnns")
class MaxoutConv(keras.layers.Layer):
    """2-D convolution whose feature maps are the largest of `pieces` affine feature maps each.

    Section 3 of Goodfellow et al., at position (y, x), for filter i of m with pieces 1..k:

        h_i(y, x) = max_{j in 1..k} z_ij(y, x),   z_ij = input * W_ij + b_ij   (* convolves)

    All m * k maps come out of one convolution; its consecutive outputs i * k .. i * k + k - 1
    belong to filter i. With one piece this is `keras.layers.Conv2D`. The paper pools over space
    afterwards; pylearn2's pooling keeps the partial windows at the right and bottom edges.

    Dropout in a maxout network (section 4, and pylearn2's configurations): a mask multiplies the
    input of a layer, right before its weights; the inputs of the max are never dropped. The
    softmax layer's input is masked too. Inputs of hidden layers are kept with probability 0.5 and
    doubled, which is `keras.layers.Dropout(0.5)` in front of the layer. The network's own input is
    kept with 0.8 and, in the authors' code, not scaled up, so that in training it is on average
    0.8 times what it is at test. `keras.layers.Dropout(0.2)` can't do this, as it divides by 0.8;
    `ScaledDropout(0.2)` can.

    Args:
        filters: m, the number of output maps.
        kernel_size, strides, dilation_rate: pixels; an integer, or a pair (height, width).
            Strides and dilation can't both be above 1.
        pieces: k, the affine maps behind each output map.
        padding: "valid" or "same", as in `keras.layers.Conv2D`.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        min_zero: if True the max includes 0, which makes a map a max over rectifiers.
        untied_bias: if True every output position has its own biases, as in the authors' net for
            MNIST: (h, w, m * k) of them instead of (m * k,). Needs a fixed input size.
        use_bias: if False, z has no b.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
        activity_regularizer, kernel_constraint, bias_constraint: as in `keras.layers.Conv2D`;
            `keras.constraints.MaxNorm(1.9365, axis=[0, 1, 2])` is the authors' max_kernel_norm.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first.
    Output shape: (N, h, w, filters), or (N, filters, h, w); h and w as for `Conv2D`.

    Raises:
        ValueError: for arguments outside what is said above, for an input that is smaller than
            the kernel, and for one whose size is unknown where it has to be known.

    Example:
        >>> images = keras.Input((32, 32, 3))
        >>> x = keras.layers.ZeroPadding2D(4)(images)
        >>> MaxoutConv(96, 8, pieces=2)(x).shape
        (None, 33, 33, 96)

    Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks", ICML 2013
    (arXiv 1302.4389), sections 3 and 4; pylearn2/models/maxout.py, costs/mlp/dropout.py.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        pieces,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        min_zero=False,
        untied_bias=False,
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
        self.pieces = whole("pieces", pieces)
        self.strides = size("strides", strides)
        self.padding = choice("padding", padding, ("valid", "same"), capitals=True)
        self.data_format = resolve_data_format(data_format)
        self.dilation_rate = size("dilation_rate", dilation_rate)
        self.min_zero = flag("min_zero", min_zero)
        self.untied_bias = flag("untied_bias", untied_bias)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = from_keras("kernel_initializer", kernel_initializer)
        self.bias_initializer = from_keras("bias_initializer", bias_initializer)
        self.kernel_regularizer = from_keras("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = from_keras("bias_regularizer", bias_regularizer)
        self.kernel_constraint = from_keras("kernel_constraint", kernel_constraint)
        self.bias_constraint = from_keras("bias_constraint", bias_constraint)
        self.input_spec = keras.layers.InputSpec(ndim=4)

        if self.untied_bias and not self.use_bias:
            raise ValueError(
                "`untied_bias=True` needs `use_bias=True`. "
                f"Received: untied_bias={untied_bias}, use_bias={use_bias}"
            )
        self._kernel_size = pair(self.kernel_size)
        self._strides = pair(self.strides)
        self._padding = padding.lower()
        self._dilation_rate = pair(self.dilation_rate)
        if max(self._strides) > 1 and max(self._dilation_rate) > 1:
            raise ValueError(
                "`strides` and `dilation_rate` can't both be above 1. "
                f"Received: strides={strides}, dilation_rate={dilation_rate}"
            )

    def build(self, input_shape):
        _, height, width, channels = shape_to_channels_last(input_shape, self.data_format)
        if channels is None:
            raise ValueError(
                "`MaxoutConv` needs to know the number of input channels. "
                f"Received: input_shape={input_shape}"
            )
        channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={channel_axis: channels})
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self._kernel_size, channels, self.filters * self.pieces),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        output_size = self._output_size((height, width), input_shape)
        if self.untied_bias:
            if None in output_size:
                raise ValueError(
                    "`untied_bias=True` needs to know the height and width of the input. "
                    f"Received: input_shape={input_shape}"
                )
            self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.bias = None
        if self.use_bias:
            positions = output_size if self.untied_bias else ()
            self.bias = self.add_weight(
                name="bias",
                shape=(*positions, self.filters * self.pieces),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs):
        x = to_channels_last(ops.cast(inputs, self.compute_dtype), self.data_format)
        return from_channels_last(on_any_batch(self._maxout, x), self.data_format)

    def _maxout(self, x):
        # Reordering the small kernel rather than the large maps gives contiguous blocks for free.
        z = ops.conv(
            x,
            _pieces_to_blocks(self.kernel, self.pieces),
            strides=self._strides,
            padding=self._padding,
            data_format="channels_last",
            dilation_rate=self._dilation_rate,
        )  # (N, h, w, pieces * filters)
        bias = None if self.bias is None else _pieces_to_blocks(self.bias, self.pieces)
        affine = [z] if bias is None else [z, bias]
        return max_over_blocks(*affine, pieces=self.pieces, min_zero=self.min_zero)

    def _output_size(self, size, input_shape):
        """(h, w) for the input's (H, W); a size that is unknown stays None."""
        output_size = []
        for length, kernel, stride, dilation in zip(
            size, self._kernel_size, self._strides, self._dilation_rate, strict=True
        ):
            lost = (kernel - 1) * dilation if self._padding == "valid" else 0
            if length is None:
                output_size.append(None)
            elif length - lost <= 0:
                raise ValueError(
                    f"`kernel_size` {self.kernel_size} with `dilation_rate` {self.dilation_rate} "
                    f"must fit into the input. Received: input_shape={input_shape}"
                )
            else:
                output_size.append((length - lost - 1) // stride + 1)
        return tuple(output_size)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = shape_to_channels_last(input_shape, self.data_format)
        output_size = self._output_size((height, width), input_shape)
        return shape_from_channels_last((batch, *output_size, self.filters), self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pieces": self.pieces,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "min_zero": self.min_zero,
            "untied_bias": self.untied_bias,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


def _pieces_to_blocks(weights, pieces):
    """Reorders the last axis from unit by unit to piece by piece: (u0p0, u0p1, u1p0, u1p1) becomes
    (u0p0, u1p0, u0p1, u1p1)."""
    *leading, outputs = weights.shape
    weights = ops.reshape(weights, (*leading, outputs // pieces, pieces))
    return ops.reshape(ops.swapaxes(weights, -1, -2), (*leading, outputs))


@segment
def max_over_blocks(z, bias=None, *, pieces, min_zero):
    """Adds the bias and takes the max over `pieces` contiguous blocks of the last axis.

    (..., pieces * units) -> (..., units). On CPUs whole blocks are compared several times faster
    than strided slices of the same values.
    """
    if bias is not None:
        z = z + bias
    largest = reduce(ops.maximum, ops.split(z, pieces, axis=-1))
    return ops.relu(largest) if min_zero else largest
