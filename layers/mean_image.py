"""AlexNet's only preprocessing: the mean training image is subtracted (AlexNet, section 2)."""

import warnings

import keras
import numpy as np
from keras import ops

from .concrete import concrete


@keras.saving.register_keras_serializable(package="tfcnns")
class MeanImage(keras.layers.Layer):
    """Subtracts from each pixel its mean over the training images.

    Section 2 of Krizhevsky et al.: "subtracting the mean activity over the training set from each
    pixel". The authors' code keeps a mean image of 256x256 and subtracts its centre from every
    crop, wherever that was cut out; `adapt` on centre crops does the same.

    Call `adapt` before training; until then images pass unchanged, with a warning. The mean is
    saved with the layer.

    Args:
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), the size fixed; pixels are taken as float32 under any policy.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: for an input without a fixed size, and in `adapt` for images of another size,
            no image at all, and values that are not finite.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3))
        >>> centre = MeanImage()
        >>> centre.adapt(images)  # or a tf.data.Dataset of batches
        >>> centred = centre(images)

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 2; convdata_jpeg.py of the authors' 2012 code.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self._checked = False

    def build(self, input_shape):
        shape = tuple(input_shape[1:])
        if len(shape) != 3 or None in shape:
            raise ValueError(
                f"`MeanImage` needs images of a fixed size. Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *shape))
        self.mean = self.add_weight(
            shape=shape,
            initializer="zeros",
            name="mean",
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    def call(self, inputs):
        self._warn_before_adapt()
        return ops.cast(ops.cast(inputs, "float32") - self.mean, self.compute_dtype)

    def adapt(self, data):
        """Finds the mean in one pass, summed in float64.

        Args:
            data: images (N, H, W, C), or an iterable of such batches, a tf.data.Dataset for one;
                a batch may also be a tuple whose first entry is the images.
        """
        total, count = 0.0, 0
        for batch in [data] if hasattr(data, "shape") else data:
            images = np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch)
            if images.ndim != 4 or (count and images.shape[1:] != total.shape):
                raise ValueError(
                    "Expected batches of images (N, H, W, C) of one size. "
                    f"Received: shape={images.shape}"
                )
            total = total + images.sum(axis=0, dtype="float64")
            count += len(images)
        if not count or not np.isfinite(total).all():
            raise ValueError(
                f"Expected images with finite values. Received: {count} images, data={data!r}"
            )
        if not self.built:
            self.build((None, *total.shape))
        if total.shape != tuple(self.mean.shape):
            raise ValueError(
                f"Expected images of shape {tuple(self.mean.shape)}. Received: {total.shape}"
            )
        self.mean.assign((total / count).astype("float32"))

    def _warn_before_adapt(self):
        if self._checked:
            return
        self._checked = True
        mean = concrete(self.mean)
        if mean is not None and not mean.any():
            warnings.warn(
                f"{self.name} was not adapted: images pass unchanged. Call its `adapt` first.",
                stacklevel=3,
            )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
