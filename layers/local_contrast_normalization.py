"""Local contrast normalisation (preprocessing of SVHN in Maxout Networks)."""

import keras
import numpy as np
from keras import ops

from .hyperparameters import real, whole


@keras.saving.register_keras_serializable(package="tfcnns")
class LocalContrastNormalization(keras.layers.Layer):
    """Removes the mean around each pixel and divides by the root mean square around it.

    pylearn2's lecun_lcn, for each channel of each image on its own, with x zero outside the
    image and w a Gaussian over kernel_size x kernel_size pixels, of deviation 2 and sum 1:

        v(p) = x(p) - sum_q w(q) x(p + q)
        s(p) = sqrt(sum_q w(q) x(p + q)^2)
        y(p) = v(p) / max(s(p), mean_p s, threshold)

    As in that code, s is taken over x and not over v, as Jarrett et al. have it. Zero padding
    makes the local mean smaller near the border, where a constant image leaves an edge. Sums are
    float32 (float64 under a float64 policy).

    Versions of pylearn2 from January 2014 on return after the first channel. All channels are
    normalised here, as in the version of March 2013 that the paper's results belong to.

    Args:
        kernel_size: pixels; odd, 3 or more. SVHN: 7.
        threshold: > 0, the smallest divisor, in units of the pixels. SVHN: 1e-4.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C). On SVHN: after `GlobalContrastNormalization(scale=1.0)`.
    Output shape: that of the input.

    Raises:
        ValueError: for a kernel that is even or below 3, a threshold that is not positive, and an
            input with an unknown number of channels.

    Example:
        >>> images = keras.Input((32, 32, 3))
        >>> x = GlobalContrastNormalization(scale=1.0)(images)
        >>> LocalContrastNormalization()(x).shape
        (None, 32, 32, 3)

    Source: pylearn2/datasets/preprocessing.py (LeCunLCN, lecun_lcn, gaussian_filter) and
    scripts/papers/maxout/svhn_preprocessing.py; Jarrett, Kavukcuoglu, Ranzato, LeCun, "What is the
    Best Multi-Stage Architecture for Object Recognition?", ICCV 2009.
    """

    def __init__(self, kernel_size=7, threshold=1e-4, **kwargs):
        super().__init__(autocast=False, **kwargs)  # mixed policies round the result only
        self.kernel_size, self.threshold = _checked(kernel_size, threshold)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                "`LocalContrastNormalization` needs to know the number of channels. "
                f"Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})

    def call(self, inputs):
        x = ops.cast(inputs, "float64" if self.compute_dtype == "float64" else "float32")
        y = local_contrast_normalize(x, self.kernel_size, self.threshold)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "threshold": self.threshold,
        }


def local_contrast_normalize(images, kernel_size=7, threshold=1e-4):
    """`LocalContrastNormalization` as a function, for pipelines; also inside tf.data.

    Args:
        images: (H, W, C) or (N, H, W, C) with a known number of channels; any dtype.
        kernel_size, threshold: as in the layer.

    Returns:
        The result in the shape of `images`; float64 for float64, else float32.
    """
    kernel_size, threshold = _checked(kernel_size, threshold)
    x = ops.convert_to_tensor(images)
    dtype = keras.backend.standardize_dtype(x.dtype)
    x = ops.cast(x, "float64" if dtype == "float64" else "float32")
    single = len(x.shape) == 3
    if single:
        x = ops.expand_dims(x, 0)  # (N, H, W, C)
    mean = _gaussian_blur(x, kernel_size)
    spread = ops.sqrt(_gaussian_blur(ops.square(x), kernel_size))
    divisor = ops.maximum(spread, ops.mean(spread, axis=(1, 2), keepdims=True))
    y = (x - mean) / ops.maximum(divisor, threshold)
    return ops.squeeze(y, 0) if single else y


def _gaussian_blur(x, size):
    """Each channel of (N, H, W, C) with w, first along H, then along W: w is a product."""
    offsets = np.arange(size) - size // 2
    line = np.exp(-(offsets**2) / (2 * 2.0**2))
    line = ops.cast(line / line.sum(), x.dtype)
    for shape in ((size, 1, 1, 1), (1, size, 1, 1)):
        kernel = ops.tile(ops.reshape(line, shape), (1, 1, x.shape[-1], 1))
        x = ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last")
    return x


def _checked(kernel_size, threshold):
    kernel_size = whole("kernel_size", kernel_size, least=3)
    if kernel_size % 2 == 0:
        raise ValueError(f"`kernel_size` must be odd. Received: kernel_size={kernel_size}")
    return kernel_size, real("threshold", threshold, above=0)
