"""ZCA whitening (preprocessing of Maxout Networks and Network in Network)."""

import math
import warnings

import keras
import numpy as np
from keras import ops

from .concrete import concrete
from .covariance import mean_and_covariance
from .hyperparameters import real


@keras.saving.register_keras_serializable(package="tfcnns")
class ZCAWhitening(keras.layers.Layer):
    """Decorrelates the pixels of images, staying as close to the images as possible.

    pylearn2's, which both papers use on CIFAR after global contrast normalisation. With m and C
    the mean and covariance of the training images, as vectors of D = H W C values:

        y = (x - m) V diag(1 / sqrt(e + filter_bias)) V^T,   C = V diag(e) V^T

    with all D components kept. Eigenvector i of the result has the variance e_i / (e_i + bias).
    `adapt` reads the images once and computes in float64; the D x D product of the call is
    float32 whatever the policy. Call `adapt` before use; until then images pass unchanged, with a
    warning. Mean and matrices are saved with the layer: 8 D^2 bytes, 76 MB for 32x32x3.

    Args:
        filter_bias: >= 0, in squared units of the pixels. The papers: 0.1, for images of the norm
            55. With 0, the training images must span all D dimensions.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C) of a fixed size. Output shape: that of the input.

    Raises:
        ValueError: for a negative filter_bias, an input of unknown size, and in `adapt` for images
            of another size and for a covariance that can't be inverted.

    Example:
        >>> images = np.random.default_rng(0).random((500, 8, 8, 3), "float32")
        >>> zca = ZCAWhitening()
        >>> zca.adapt(images)  # or a tf.data.Dataset of batches
        >>> seen = zca.inverse(zca(images))  # images again

    Source: pylearn2/datasets/preprocessing.py (ZCA), whose filter_bias is added to the diagonal of
    the covariance, and scripts/datasets/make_cifar10_gcn_whitened.py.
    """

    def __init__(self, filter_bias=0.1, **kwargs):
        super().__init__(autocast=False, **kwargs)  # mixed policies round the result only
        self.filter_bias = real("filter_bias", filter_bias, least=0)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self._checked = False

    def build(self, input_shape):
        shape = tuple(input_shape[1:])
        if None in shape:
            raise ValueError(
                f"`ZCAWhitening` needs a fixed image size. Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *shape))
        values = math.prod(shape)
        options = {"dtype": "float32", "trainable": False, "autocast": False}
        self.mean = self.add_weight(shape=(values,), initializer="zeros", name="mean", **options)
        self.whitening = self.add_weight(
            shape=(values, values), initializer="identity", name="whitening", **options
        )
        self.colouring = self.add_weight(
            shape=(values, values), initializer="identity", name="colouring", **options
        )

    def call(self, inputs):
        self._warn_before_adapt()
        return ops.cast(zca_whiten(inputs, self.mean, self.whitening), self.compute_dtype)

    def inverse(self, images):
        """The images that whitening turned into `images`, to look at them; float32."""
        x = ops.cast(images, "float32")
        flat = ops.reshape(x, (-1, self.mean.shape[0]))
        return ops.reshape(ops.matmul(flat, self.colouring) + self.mean, ops.shape(x))

    def adapt(self, data):
        """Finds mean and matrices in one pass over `data`, as `zca_matrices` takes it."""
        shape, *matrices = zca_matrices(data, self.filter_bias)
        if not self.built:
            self.build((None, *shape))
        if shape != tuple(self.input_spec.shape[1:]):
            raise ValueError(
                f"Expected images of shape {self.input_spec.shape[1:]}. Received: shape={shape}"
            )
        for variable, value in zip(
            (self.mean, self.whitening, self.colouring), matrices, strict=True
        ):
            variable.assign(value.astype("float32"))

    def _warn_before_adapt(self):
        if self._checked:
            return
        self._checked = True
        whitening = concrete(self.whitening)
        if whitening is not None and np.array_equal(whitening, np.eye(len(whitening))):
            warnings.warn(
                f"{self.name} was not adapted: images pass unchanged. Call its `adapt` first.",
                stacklevel=3,
            )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "filter_bias": self.filter_bias}


def zca_whiten(images, mean, whitening):
    """The product of `ZCAWhitening` as a function, for pipelines; also inside tf.data.

    Args:
        images: (H, W, C) or (N, H, W, C); any dtype.
        mean: (D,) and whitening: (D, D), D = H W C, as `zca_matrices` returns them.

    Returns:
        The whitened images in the shape of `images`, float32.
    """
    x = ops.cast(images, "float32")
    mean = ops.cast(mean, "float32")
    flat = ops.reshape(x, (-1, mean.shape[0])) - mean
    return ops.reshape(ops.matmul(flat, ops.cast(whitening, "float32")), ops.shape(x))


def zca_matrices(data, filter_bias=0.1):
    """What `ZCAWhitening.adapt` computes, from one pass over `data`.

    Args:
        data: images (N, H, W, C), or an iterable of such batches, a tf.data.Dataset for one; a
            batch may also be a tuple whose first entry is the images.
        filter_bias: as in the layer.

    Returns:
        (shape, mean, whitening, colouring): (H, W, C) and, with D = H W C, arrays (D,), (D, D),
        (D, D), the last the inverse of the one before; NumPy, float64.

    Raises:
        ValueError: for batches that are no images of one size, no image at all, values not finite
            and a covariance that can't be inverted.
    """
    shape, mean, covariance = mean_and_covariance(data, axes=3)
    eigenvalues, vectors = np.linalg.eigh(covariance + filter_bias * np.eye(len(mean)))
    if eigenvalues[0] <= 1e-12 * eigenvalues[-1]:
        raise ValueError(
            "The images don't span all dimensions: whitening them needs a `filter_bias` > 0. "
            f"Received: filter_bias={filter_bias}, smallest eigenvalue {eigenvalues[0]:.3g}"
        )
    root = np.sqrt(eigenvalues)
    return shape, mean, (vectors / root) @ vectors.T, (vectors * root) @ vectors.T
