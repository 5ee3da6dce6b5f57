"""Local response normalisation (AlexNet, section 3.3)."""

import keras
import numpy as np
from keras import ops

from .hyperparameters import real, whole
from .layout import from_channels_last, resolve_data_format, to_channels_last
from .xla import segment, segments_are_on


@keras.saving.register_keras_serializable(package="tfcnns")
class LRN(keras.layers.Layer):
    """Divides every activity by a power of the energy of its neighbours along the channels.

    Section 3.3 of Krizhevsky et al., for channel i of N at one position, n = 2 * depth_radius + 1:

        b_i = a_i / (k + alpha * sum_{j = max(0, i - n/2)}^{min(N - 1, i + n/2)} a_j^2) ^ beta

    The window is cut off at the first and the last channel, and alpha multiplies the sum, as
    printed. The authors' code, Caffe and torch divide alpha by n: for their result pass alpha / n.
    The sum is taken in float32 (float64 under a float64 policy), whatever the compute dtype.

    Args:
        depth_radius: n // 2, the channels summed on either side of a channel. Paper: 2.
        bias: k >= 0. Paper: 2. With 0, a window of zeros has no value (0 / 0).
        alpha: >= 0, the weight of the sum of squares. Paper: 1e-4.
        beta: the exponent. Paper: 0.75.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, ..., C), or (N, C, ...) for channels first, of rank 2 or more.
    Output shape: that of the input.

    Raises:
        ValueError: for a radius that is no integer >= 0, for bias or alpha that are negative or
            not finite, and for an input with an unknown number of channels.

    Example:
        >>> images = keras.Input((227, 227, 3))
        >>> x = keras.layers.Conv2D(96, 11, strides=4, activation="relu")(images)
        >>> LRN()(x).shape
        (None, 55, 55, 96)

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 3.3.
    """

    def __init__(self, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.depth_radius = whole("depth_radius", depth_radius, least=0)
        self.bias = real("bias", bias, least=0)
        self.alpha = real("alpha", alpha, least=0)
        self.beta = real("beta", beta)
        self.data_format = resolve_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        if input_shape[axis] is None:
            raise ValueError(
                "`LRN` needs to know the number of channels, which is dimension "
                f"{axis} of its input. Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={axis: input_shape[axis]})

    def call(self, inputs):
        x = to_channels_last(inputs, self.data_format)
        constants = {"bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        x = _normalize(x, radius=self.depth_radius, dtype=self.compute_dtype, **constants)
        return from_channels_last(x, self.data_format)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
            "data_format": self.data_format,
        }


@segment
def _normalize(x, radius, bias, alpha, beta, dtype):
    """The formula over the last axis of `x`, in float32 or more; the result is of `dtype`.

    Its gradient is written out: with s the bracket and g what comes from above,
    g * s^-beta - 2 * alpha * beta * a * (window sum of g * a * s^(-beta - 1)),
    one window sum and few passes over memory; automatic differentiation takes up to twice as long.
    """
    window_sum = _shifted_sum if segments_are_on() else _window_sum

    @ops.custom_gradient
    def normalize(a):
        s = bias + alpha * window_sum(ops.square(a), radius)
        power = negative_power(s, beta)

        def gradient(*args, upstream=None):
            scaled = (args[0] if upstream is None else upstream) * power
            return scaled - 2 * alpha * beta * a * window_sum(scaled * a / s, radius)

        return a * power, gradient

    x = ops.cast(x, "float64" if dtype == "float64" else "float32")
    return ops.cast(normalize(x), dtype)


def _window_sum(x, radius):
    """Sums `x` over the channels i - radius .. i + radius, for each channel i.

    A product with a banded matrix of ones: on CPUs the fastest form that needs no compiler. Many
    channels are cut into blocks, or the product would spend its time on the zeros off the band.
    """
    channels = x.shape[-1]
    width = channels if channels <= 128 else max(64, 2 * radius)
    sums = []
    for low in range(0, channels, width):
        high = min(low + width, channels)
        left, right = max(low - radius, 0), min(high + radius, channels)
        offsets = np.arange(left, right)[:, None] - np.arange(low, high)
        sums.append(ops.matmul(x[..., left:right], ops.cast(abs(offsets) <= radius, x.dtype)))
    return ops.concatenate(sums, axis=-1)


def _shifted_sum(x, radius):
    """The same as a sum of slices, which XLA makes one loop of, with all that is around it. A
    product stays a product there, and each of its neighbours a pass over memory of its own."""
    channels = x.shape[-1]
    radius = min(radius, channels - 1)
    padded = ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(radius, radius)])
    return sum(padded[..., shift : shift + channels] for shift in range(2 * radius + 1))


def negative_power(s, beta):
    """s ** -beta; the usual exponents as roots, which cost a fraction of a general power."""
    if beta == 0.75:
        root = ops.rsqrt(s)
        return root * ops.sqrt(root)
    if beta == 0.5:
        return ops.rsqrt(s)
    if beta == 1:
        return ops.reciprocal(s)
    return ops.power(s, -beta)
