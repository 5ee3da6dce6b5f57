"""Pooling that keeps partial windows at the right and bottom edges, as the papers' code does."""

import functools

import keras
import numpy as np
from keras import ops

from .hyperparameters import pair, size
from .layout import (
    from_channels_last,
    on_any_batch,
    resolve_data_format,
    shape_from_channels_last,
    shape_to_channels_last,
    to_channels_last,
)


class _CeilPooling2D(keras.layers.Layer):
    """What maximum and average share: arguments, sizes, and padding after the last pixel."""

    def __init__(self, pool_size=2, strides=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = size("pool_size", pool_size)
        self.strides = None if strides is None else size("strides", strides)
        self._pool = pair(self.pool_size)
        self._steps = self._pool if strides is None else pair(self.strides)
        if any(step > size for size, step in zip(self._pool, self._steps, strict=True)):
            raise ValueError(
                "`strides` must not exceed `pool_size`, or a window may lie outside the map. "
                f"Received: pool_size={pool_size}, strides={strides}"
            )
        self.data_format = resolve_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs, training=False):
        x = to_channels_last(inputs, self.data_format)
        pooled = functools.partial(self._pooled, training=training)
        return from_channels_last(on_any_batch(pooled, x), self.data_format)

    def _fit(self, x, lengthened):
        """x, `lengthened(x, pads)` after its last pixels if needed, and the padding to pool with.

        lengthened: a function of maps and of the pixels to add along height and width.
        """
        axes = list(zip(ops.shape(x)[1:3], self._pool, self._steps, strict=True))
        pads = [_missing(*axis) for axis in axes]
        if all(isinstance(pad, int) for pad in pads):
            if not any(pads):
                return x, "valid"
            # "same" pads on both sides, but a single pixel after the last one.
            if max(pads) == 1 and pads == [_same_pad(*axis) for axis in axes]:
                return x, "same"
        return lengthened(x, pads), "valid"

    def compute_output_shape(self, input_shape):
        n, *sizes, channels = shape_to_channels_last(input_shape, self.data_format)
        pooled = [
            None if size is None else (size + _missing(size, pool, step) - pool) // step + 1
            for size, pool, step in zip(sizes, self._pool, self._steps, strict=True)
        ]
        return shape_from_channels_last((n, *pooled, channels), self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="tfcnns")
class CeilMaxPooling2D(_CeilPooling2D):
    """Max-pooling with as many windows as it takes to see every pixel.

    cuda-convnet's and Caffe's sizes, for pool size z, stride s and H pixels:

        h = ceil((H - z) / s) + 1,   y(i) = max_{a = 0 .. z - 1, s i + a < H} x(s i + a)

    along each axis. The first window starts at the first pixel, with no padding before it; the
    last is cut off at the edge. Of 21, 33 and 15 pixels 4/2 makes 10, 16 and 7, where Keras' "same"
    makes 11, 17 and 8, and "valid" 9, 15 and 6. A map smaller than the window is one window.

    Args:
        pool_size: z, pixels; an integer, or a pair (height, width).
        strides: s, pixels, at most the pool size; None takes the pool size.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first; H and W may be unknown.
    Output shape: (N, h, w, C), or (N, C, h, w); integers stay integers.

    Raises:
        ValueError: for sizes that are no positive integers, and for strides above the pool size.

    Example:
        >>> maps = keras.Input((33, 33, 96))
        >>> CeilMaxPooling2D(4, 2)(maps).shape
        (None, 16, 16, 96)

    Source: layer.py (PoolLayerParser) of cuda-convnet; Caffe's pooling_layer.cpp; pylearn2's
    maxout and Network in Network's models pool through the former.
    """

    def _pooled(self, x, training):
        # The same maxima. Repeating pixels is slower where there are gradients, but quantized
        # activities, of LiteRT, have no scale that reaches to minus infinity.
        x, padding = self._fit(x, _with_lowest if training else _with_edges)
        return ops.max_pool(x, self._pool, self._steps, padding, data_format="channels_last")


@keras.saving.register_keras_serializable(package="tfcnns")
class CeilAveragePooling2D(_CeilPooling2D):
    """Average pooling with as many windows as it takes to see every pixel.

    Sizes and windows are those of `CeilMaxPooling2D`. A window that is cut off at the edge is
    divided by the number of pixels it still has, in cuda-convnet as in Caffe without padding:

        y(i) = sum_{a = 0 .. z - 1, s i + a < H} x(s i + a) / min(z, H - s i)

    along each axis, so that a constant map stays constant. (With padding, which this layer doesn't
    have, Caffe counts padded pixels too.) Sums are float32 (float64 under a float64 policy).

    Args:
        pool_size: z, pixels; an integer, or a pair (height, width).
        strides: s, pixels, at most the pool size; None takes the pool size.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first; H and W may be unknown.
    Output shape: (N, h, w, C), or (N, C, h, w).

    Raises:
        ValueError: for sizes that are no positive integers, and for strides above the pool size.

    Example:
        >>> maps = keras.Input((16, 16, 192))
        >>> CeilAveragePooling2D(3, 2)(maps).shape
        (None, 8, 8, 192)

    Source: conv_util.cu (kLocalAvgUndo) of cuda-convnet2; Caffe's pooling_layer.cpp. Network in
    Network's Caffe model for CIFAR-10 has it as pool2.
    """

    def _pooled(self, x, training):
        x = ops.cast(x, "float64" if self.compute_dtype == "float64" else "float32")
        padded, padding = self._fit(x, _padded)
        y = ops.average_pool(padded, self._pool, self._steps, padding, data_format="channels_last")
        if padded is not x:
            # Zeros added nothing to the sums, but were counted.
            for axis in (1, 2):
                size, pool, step = ops.shape(x)[axis], self._pool[axis - 1], self._steps[axis - 1]
                starts = step * ops.arange(ops.shape(y)[axis], dtype="int32")
                factor = pool / ops.cast(ops.minimum(pool, size - starts), y.dtype)
                y = y * ops.reshape(factor, (-1, 1, 1) if axis == 1 else (-1, 1))
        return ops.cast(y, self.compute_dtype)


def _padded(x, pads, value=0):
    return ops.pad(x, ((0, 0), (0, pads[0]), (0, pads[1]), (0, 0)), constant_values=value)


def _with_lowest(x, pads):
    dtype = keras.backend.standardize_dtype(x.dtype)
    return _padded(x, pads, -np.inf if "float" in dtype else np.iinfo(dtype).min)


def _with_edges(x, pads):
    """The last row and column repeated: a window that reaches beyond them holds them too."""
    for axis, pad in enumerate(pads, start=1):
        last = x[:, -1:] if axis == 1 else x[:, :, -1:]
        repeats = [1, 1, 1, 1]
        repeats[axis] = pad
        x = ops.concatenate([x, ops.tile(last, repeats)], axis=axis)
    return x


def _missing(size, pool, step):
    """Pixels that the last window lacks, for integers and for tensors."""
    larger = max if isinstance(size, int) else ops.maximum
    return larger(pool - size, (pool - size) % step)


def _same_pad(size, pool, step):
    """Pixels that Keras' "same" adds."""
    return max((-(-size // step) - 1) * step + pool - size, 0)
