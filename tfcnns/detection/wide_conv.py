"""Convolutions of millions of weights as a few matrix products, which CPUs do faster."""

import math

import keras
from keras import ops

from tfcnns.layers import AnyBatchConv2D

# From here on, in weights. TensorFlow's convolution copies its kernel into another layout at every
# call, which for the accurate net's 5x5 layer takes longer than nine windows' arithmetic.
WIDE = 4_000_000


def is_wide(layer):
    """Whether `wide_conv` does the layer's work, and faster."""
    return (
        type(layer) in (keras.layers.Conv2D, AnyBatchConv2D)
        and layer.data_format == "channels_last"
        and tuple(layer.strides) == tuple(layer.dilation_rate) == (1, 1)
        and layer.padding in ("valid", "same")
        and layer.groups == 1
        and layer.quantization_mode is None
        and math.prod(layer.kernel.shape) >= WIDE
    )


def wide_conv(layer, x):
    """`layer(x)` for a built Conv2D for which `is_wide`.

    For each row r of a kernel of k rows, with the k pixels beside each other laid side by side:

        y = act(b + sum_r X_r W_r),   X_r (N h w, k C), W_r (k C, F) = kernel[r], not copied

    Needs room for k times the input, where one product for all of the kernel would need k^2 times.

    Args:
        layer: the Conv2D.
        x: (N, H, W, C).

    Returns: (N, h, w, F), h = H and w = W for "same" padding, else less k - 1, in the layer's
        compute dtype. Equal to `layer(x)` but for the order of its sums.
    """
    x = ops.cast(x, layer.compute_dtype)
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    rows, columns, channels, filters = kernel.shape
    if layer.padding == "same":
        margins = [((size - 1) // 2, size // 2) for size in (rows, columns)]
        x = ops.pad(x, [(0, 0), *margins, (0, 0)])
    batch, height, width, _ = ops.shape(x)
    h, w = height - rows + 1, width - columns + 1
    beside = ops.concatenate([x[:, :, j : j + w] for j in range(columns)], axis=-1)
    y = 0
    for r in range(rows):
        patches = ops.reshape(beside[:, r : r + h], (-1, columns * channels))
        y += ops.matmul(patches, ops.reshape(kernel[r], (columns * channels, filters)))
    if layer.use_bias:
        y = ops.add(y, ops.cast(layer.bias, layer.compute_dtype))
    if layer.activation is not None:
        y = layer.activation(y)
    return ops.reshape(y, (batch, h, w, filters))
