"""The mlpconv layer (Network in Network, section 3.1)."""

import keras
from keras import ops

from .hyperparameters import choice, flag, from_keras, size, wholes
from .initializers import one_each
from .layout import (
    from_channels_last,
    on_any_batch,
    resolve_data_format,
    shape_from_channels_last,
    shape_to_channels_last,
    to_channels_last,
)


@keras.saving.register_keras_serializable(package="tfcnns")
class MLPConv(keras.layers.Layer):
    """Slides a small multilayer perceptron over the image: a convolution, then 1x1 convolutions.

    Section 3.1 of Lin et al., for the patch x_ij around pixel (i, j) and n layers:

        f^1_{i,j,k1} = max(w^1_k1 . x_ij + b_k1, 0)
        f^n_{i,j,kn} = max(w^n_kn . f^{n-1}_ij + b_kn, 0)

    The layers are the `keras.layers.Conv2D`s of `convs`: "conv", then "cccp1", "cccp2", ... after
    the authors' name for a 1x1 convolution, cascaded cross channel parametric pooling.

    Args:
        filters: a tuple with the width of each layer, such as (192, 160, 96).
        kernel_size, strides, padding, dilation_rate: of the first, spatial convolution, as in
            `keras.layers.Conv2D`.
        activation: after every layer but the last.
        last_activation: after the last. The authors have a ReLU on the class maps too, which can
            kill whole classes in small nets: None leaves those maps linear.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        kernel_initializer, bias_initializer: one for all layers, or a sequence with one each. A
            layer never repeats the values of another: a seed that was used before is replaced by
            one derived from it.
        use_bias, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: of
            every layer, as in `keras.layers.Conv2D`.
        activity_regularizer: of the output.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first.
    Output shape: (N, h, w, filters[-1]), or (N, filters[-1], h, w); h and w as for `Conv2D`.

    Raises:
        ValueError: for filters that are no sequence of positive integers, for a sequence of
            initializers of another length, and for what `Conv2D` refuses.

    Example:
        >>> images = keras.Input((32, 32, 3))
        >>> x = MLPConv((192, 160, 96), 5)(images)
        >>> MLPConv((192, 192, 10), 3, last_activation=None)(x).shape
        (None, 32, 32, 10)

    Source: Lin, Chen, Yan, "Network In Network", ICLR 2014 (arXiv 1312.4400), section 3.1;
    mavenlin/cuda-convnet, folder NIN.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="same",
        activation="relu",
        last_activation="relu",
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
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = wholes("filters", filters)
        depth = len(self.filters)
        self.kernel_size = size("kernel_size", kernel_size)
        self.strides = size("strides", strides)
        self.padding = choice("padding", padding, ("valid", "same"), capitals=True)
        self.activation = from_keras("activation", activation)
        self.last_activation = from_keras("last_activation", last_activation)
        self.data_format = resolve_data_format(data_format)
        self.dilation_rate = size("dilation_rate", dilation_rate)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = _get_initializers("kernel_initializer", kernel_initializer, depth)
        self.bias_initializer = _get_initializers("bias_initializer", bias_initializer, depth)
        self.kernel_regularizer = from_keras("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = from_keras("bias_regularizer", bias_regularizer)
        self.kernel_constraint = from_keras("kernel_constraint", kernel_constraint)
        self.bias_constraint = from_keras("bias_constraint", bias_constraint)
        self.input_spec = keras.layers.InputSpec(ndim=4)

        kernel_initializers = one_each(self.kernel_initializer, depth)
        bias_initializers = one_each(self.bias_initializer, depth)
        self.convs = []
        for i, width in enumerate(self.filters):
            spatial = {
                "kernel_size": self.kernel_size,
                "strides": self.strides,
                "padding": padding,
                "dilation_rate": self.dilation_rate,
            }
            self.convs.append(
                keras.layers.Conv2D(
                    width,
                    **(spatial if i == 0 else {"kernel_size": 1}),
                    data_format="channels_last",
                    activation=self.activation if i < depth - 1 else self.last_activation,
                    use_bias=self.use_bias,
                    kernel_initializer=kernel_initializers[i],
                    bias_initializer=bias_initializers[i],
                    kernel_regularizer=self.kernel_regularizer,
                    bias_regularizer=self.bias_regularizer,
                    kernel_constraint=self.kernel_constraint,
                    bias_constraint=self.bias_constraint,
                    dtype=self.dtype_policy,
                    name=f"cccp{i}" if i else "conv",
                )
            )

    def build(self, input_shape):
        shape = shape_to_channels_last(input_shape, self.data_format)
        if shape[-1] is None:
            raise ValueError(
                "`MLPConv` needs to know the number of input channels. "
                f"Received: input_shape={input_shape}"
            )
        channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={channel_axis: shape[-1]})
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)

    def call(self, inputs):
        x = to_channels_last(ops.cast(inputs, self.compute_dtype), self.data_format)
        return from_channels_last(on_any_batch(self._perceptron, x), self.data_format)

    def _perceptron(self, x):
        for conv in self.convs:
            x = conv(x)  # (N, h, w, its width)
        return x

    def compute_output_shape(self, input_shape):
        shape = shape_to_channels_last(input_shape, self.data_format)
        for conv in self.convs:
            shape = conv.compute_output_shape(shape)
        return shape_from_channels_last(shape, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "last_activation": keras.activations.serialize(self.last_activation),
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "use_bias": self.use_bias,
            "kernel_initializer": _serialize_initializers(self.kernel_initializer),
            "bias_initializer": _serialize_initializers(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


def _get_initializers(name, given, depth):
    """One initializer, or a list with one for each layer."""
    if not isinstance(given, (tuple, list)):
        return from_keras(name, given)
    if len(given) != depth:
        raise ValueError(
            f"`{name}` must be one initializer or a sequence of {depth}, one for each layer. "
            f"Received: {name}={given}"
        )
    return [from_keras(name, item) for item in given]


def _serialize_initializers(initializers):
    if isinstance(initializers, (tuple, list)):
        return [keras.initializers.serialize(item) for item in initializers]
    return keras.initializers.serialize(initializers)
