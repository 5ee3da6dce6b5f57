"""Global contrast normalisation (preprocessing of Maxout Networks and Network in Network)."""

import math

import keras
from keras import ops

from .hyperparameters import flag, real


@keras.saving.register_keras_serializable(package="tfcnns")
class GlobalContrastNormalization(keras.layers.Layer):
    """Removes the mean of each image and divides the image by its norm.

    pylearn2's, which both papers use on CIFAR: for the n = H W C values x_i of one image

        y_i = (x_i - m) / d,   m = sum_i x_i / n,   d = sqrt(b + sum_i (x_i - m)^2) / scale

    so that with b = 0 the image has the L2 norm `scale`. With `use_std` the sum in d is divided by
    n - 1 and always taken about the mean. A divisor below `min_divisor` is replaced by 1: an image
    without contrast becomes zeros. Sums are float32 (float64 under a float64 policy).

    Args:
        scale: the norm of the result. The papers' CIFAR: 55, a standard deviation of 0.99 for
            3072 values. Their SVHN: 1, ahead of `LocalContrastNormalization`.
        subtract_mean: if False, y_i = x_i / d, with the mean left in d too unless `use_std`.
        use_std: divide by the standard deviation instead of the norm.
        sqrt_bias: b >= 0, in squared units of the pixels. Coates et al. take 10 with `use_std`.
        min_divisor: > 0, in units of the pixels over `scale`.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), in any unit. Output shape: that of the input.

    Raises:
        ValueError: for a negative `sqrt_bias`, a `min_divisor` that is not positive, and a
            `scale` below it.

    Example:
        >>> images = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
        >>> y = GlobalContrastNormalization()(images)
        >>> round(float(np.linalg.norm(y[0])), 3)
        55.0

    Source: pylearn2/expr/preprocessing.py (global_contrast_normalize) and
    scripts/datasets/make_cifar10_gcn_whitened.py; Coates, Lee, Ng, "An Analysis of Single-Layer
    Networks in Unsupervised Feature Learning", AISTATS 2011.
    """

    def __init__(
        self,
        scale=55.0,
        subtract_mean=True,
        use_std=False,
        sqrt_bias=0.0,
        min_divisor=1e-8,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # mixed policies round the result only
        self.scale, self.sqrt_bias, self.min_divisor = _checked(scale, sqrt_bias, min_divisor)
        self.subtract_mean = flag("subtract_mean", subtract_mean)
        self.use_std = flag("use_std", use_std)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        x = ops.cast(inputs, "float64" if self.compute_dtype == "float64" else "float32")
        y = global_contrast_normalize(
            x,
            self.scale,
            self.subtract_mean,
            self.use_std,
            self.sqrt_bias,
            self.min_divisor,
        )
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "subtract_mean": self.subtract_mean,
            "use_std": self.use_std,
            "sqrt_bias": self.sqrt_bias,
            "min_divisor": self.min_divisor,
        }


def global_contrast_normalize(
    images, scale=55.0, subtract_mean=True, use_std=False, sqrt_bias=0.0, min_divisor=1e-8
):
    """`GlobalContrastNormalization` as a function, for pipelines; also inside tf.data.

    Args:
        images: (H, W, C) or (N, H, W, C), each image on its own; any dtype.
        scale, subtract_mean, use_std, sqrt_bias, min_divisor: as in the layer.

    Returns:
        The result in the shape of `images`; float64 for float64, else float32.
    """
    scale, sqrt_bias, min_divisor = _checked(scale, sqrt_bias, min_divisor)
    x = ops.convert_to_tensor(images)
    dtype = keras.backend.standardize_dtype(x.dtype)
    x = ops.cast(x, "float64" if dtype == "float64" else "float32")
    axes = (-3, -2, -1)
    # About the first value first: an image of one value has exactly no contrast, whatever
    # the rounding of its mean.
    centred = x - x[..., :1, :1, :1]
    centred = centred - ops.mean(centred, axis=axes, keepdims=True)
    if subtract_mean:
        x = centred
    energy = ops.sum(ops.square(centred if use_std else x), axis=axes, keepdims=True)
    if use_std:
        values = math.prod(ops.shape(x)[-3:])
        energy = energy / ops.cast(ops.maximum(values - 1, 1), energy.dtype)
    energy = energy + sqrt_bias
    small = energy < (min_divisor * scale) ** 2
    return x / ops.where(small, 1.0, ops.sqrt(ops.where(small, 1.0, energy)) / scale)


def _checked(scale, sqrt_bias, min_divisor):
    min_divisor = real("min_divisor", min_divisor, above=0)
    return (
        real("scale", scale, least=min_divisor),
        real("sqrt_bias", sqrt_bias, least=0),
        min_divisor,
    )
