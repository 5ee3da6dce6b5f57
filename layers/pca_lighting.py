"""AlexNet's colour noise along the principal components of RGB (AlexNet, section 4.1)."""

import warnings

import keras
import numpy as np
from keras import ops

from .concrete import concrete
from .covariance import mean_and_covariance
from .draws import SampleSeeds
from .hyperparameters import choice, real, seed_number


@keras.saving.register_keras_serializable(package="tfcnns")
class PCALighting(keras.layers.Layer):
    """Shifts the colour of each training image along the principal components of RGB.

    Section 4.1 of Krizhevsky et al.: to every pixel of an image is added

        [p_1 p_2 p_3] [a_1 l_1, a_2 l_2, a_3 l_3]^T,   a_i ~ N(0, scale)

    with p_i and l_i the eigenvectors and eigenvalues of the 3x3 covariance of the RGB values of
    all training pixels. The three a_i are drawn once an image and are the same for all its pixels;
    they follow from the seed, the step and the image's place in the global batch.
    The noise has the covariance scale^2 P diag(l)^2 P^T. At inference nothing is added.

    As printed, the formula belongs to pixels in [0, 1]: eigenvalues grow with the square of the
    unit, and on pixels in [0, 255] the noise would have a deviation of more than 1,000 levels.
    The authors' code scales a_i by what it calls "stdevs", read here as sqrt(l_i); this is
    `variant="code"`, which fits any unit and has the covariance scale^2 P diag(l) P^T. (The code
    then also divides the mean-free image by 1 + scale; this layer doesn't.)

    Call `adapt` before training; until then images pass unchanged, with a warning. The result of
    `adapt` is saved with the layer.

    Args:
        scale: the standard deviation of the a_i. Paper: 0.1.
        variant: "paper" (times l_i) or "code" (times sqrt(l_i)).
        seed: integer for the draws; None takes a random one.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, 3), floating point; in [0, 1], or that minus a mean, for "paper".
    Output shape: that of the input. Values are not clipped.

    Raises:
        ValueError: for a negative scale, an unknown variant, an input without three channels,
            and in `adapt` for pixels that can't lie in [0, 1] with `variant="paper"`.

    Example:
        >>> images = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
        >>> lighting = PCALighting()
        >>> lighting.adapt(images)  # or a tf.data.Dataset of batches
        >>> noisy = lighting(images, training=True)

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 4.1; convdata_jpeg.py of the authors' 2012 code.
    """

    def __init__(self, scale=0.1, variant="paper", seed=None, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.variant = _checked(scale, variant)
        self.seed = seed_number("seed", seed)
        self.seed_generator = SampleSeeds(self.seed)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: 3})
        self._checked = False

    def build(self, input_shape):
        # float32 whatever the policy: eigenvalues of natural images go down to 1e-4.
        options = {"dtype": "float32", "trainable": False, "autocast": False}
        self.eigenvalues = self.add_weight(
            shape=(3,), initializer="zeros", name="eigenvalues", **options
        )
        self.eigenvectors = self.add_weight(
            shape=(3, 3), initializer="identity", name="eigenvectors", **options
        )

    def call(self, inputs, training=False):
        if not training:
            return inputs
        self._warn_before_adapt()
        return pca_lighting(
            inputs,
            self.eigenvectors,
            self.eigenvalues,
            self.seed_generator,
            self.scale,
            self.variant,
        )

    def adapt(self, data):
        """Finds eigenvectors and eigenvalues in one pass over `data`, as `rgb_pca` takes it."""
        eigenvalues, eigenvectors = rgb_pca(data)
        # A variable in [0, 1] has a variance of 1/4 at most; there are three.
        if self.variant == "paper" and eigenvalues.sum() > 0.75:
            raise ValueError(
                '`variant="paper"` needs pixels in [0, 1], whose variances sum to 0.75 at most. '
                f"Received: a sum of {eigenvalues.sum():.4g}"
            )
        if not self.built:
            self.build((None, None, None, 3))
        self.eigenvalues.assign(eigenvalues.astype("float32"))
        self.eigenvectors.assign(eigenvectors.astype("float32"))

    def _warn_before_adapt(self):
        if self._checked:
            return
        self._checked = True
        eigenvalues = concrete(self.eigenvalues)
        if eigenvalues is not None and not eigenvalues.any():
            warnings.warn(
                f"{self.name} was not adapted: images pass unchanged. Call its `adapt` first.",
                stacklevel=3,
            )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "variant": self.variant,
            "seed": self.seed,
        }


def pca_lighting(image, eigenvectors, eigenvalues, seed, scale=0.1, variant="paper"):
    """The noise of `PCALighting` as a function of (image, seed); also inside tf.data.

    Args:
        image: (H, W, 3), or (N, H, W, 3) with a draw for each of the N; floating point.
        eigenvectors: (3, 3), a column each, and eigenvalues: (3,), as `rgb_pca` returns them.
        seed: a tensor of two integers, an integer, or a `keras.random.SeedGenerator`.
        scale, variant: as in `PCALighting`.

    Returns:
        The noisy image, in the shape and dtype of `image`.
    """
    scale, variant = _checked(scale, variant)
    image = ops.convert_to_tensor(image)
    dtype = keras.backend.standardize_dtype(image.dtype)
    if "float" not in dtype:
        raise ValueError(f"Expected an image of floating point pixels. Received: dtype={dtype}")
    if not isinstance(seed, (int, keras.random.SeedGenerator)):
        seed = _GivenSeed(seed)
    vectors = ops.cast(eigenvectors, "float32")  # (3 channels, 3 components)
    size = ops.cast(eigenvalues, "float32")
    if variant == "code":
        size = ops.sqrt(size)
    if isinstance(seed, SampleSeeds):
        alpha = scale * seed.normal(ops.shape(image)[0], 3)
    else:
        alpha = keras.random.normal(
            (*ops.shape(image)[:-3], 3), stddev=scale, dtype="float32", seed=seed
        )
    # As a sum and not as a matrix product, which GPUs may round to ten bits.
    shift = ops.sum(vectors * ops.expand_dims(alpha * size, -2), axis=-1)  # (..., 3 channels)
    return image + ops.cast(ops.expand_dims(shift, (-3, -2)), dtype)


def rgb_pca(data):
    """Principal components of the RGB values of all pixels of `data`, read in one pass.

    Args:
        data: images (N, H, W, 3), or an iterable of such batches, a tf.data.Dataset for one; a
            batch may also be a tuple whose first entry is the images.

    Returns:
        (eigenvalues, eigenvectors): (3,), largest first, and (3, 3) with an eigenvector in each
        column, its largest entry positive; NumPy, float64.

    Raises:
        ValueError: for batches that are no RGB images, no image at all, values not finite.
    """
    shape, _, covariance = mean_and_covariance(data, axes=1)
    if shape != (3,):
        raise ValueError(f"Expected images with three channels. Received: channels={shape[0]}")
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    order = [2, 1, 0]
    eigenvalues, eigenvectors = np.maximum(eigenvalues[order], 0), eigenvectors[:, order]
    largest = np.abs(eigenvectors).argmax(axis=0)
    return eigenvalues, eigenvectors * np.sign(eigenvectors[largest, [0, 1, 2]])


def _checked(scale, variant):
    return real("scale", scale, least=0), choice("variant", variant, ("paper", "code"))


class _GivenSeed(keras.random.SeedGenerator):
    """A seed tensor, for keras.random, which takes integers and generators only."""

    def __init__(self, seed):
        seed = ops.convert_to_tensor(seed)
        self._seed = ops.cast(seed, "uint32") if keras.backend.backend() == "jax" else seed

    def next(self, ordered=True):
        return self._seed
