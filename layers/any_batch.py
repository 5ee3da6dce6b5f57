"""Keras' convolution and max-pooling, for batches of any size, those of no image too."""

import keras
from keras import ops

from .hyperparameters import plain
from .layout import on_any_batch


@keras.saving.register_keras_serializable(package="tfcnns")
class AnyBatchConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, also of a batch without images.

    A replica of a tf.distribute strategy gets one when the last batch has fewer images than there
    are replicas. Keras' own layer has no gradient for it on CPUs.

    Args, input and output shape: as in `keras.layers.Conv2D`; whole numbers are taken as floats.

    Example:
        >>> AnyBatchConv2D(4, 3)(np.zeros((0, 9, 8, 3))).shape
        TensorShape([0, 7, 6, 4])
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*plain(args), **{name: plain(value) for name, value in kwargs.items()})

    def call(self, inputs):
        return on_any_batch(super().call, ops.cast(inputs, self.compute_dtype))


@keras.saving.register_keras_serializable(package="tfcnns")
class AnyBatchMaxPooling2D(keras.layers.MaxPooling2D):
    """`keras.layers.MaxPooling2D`, also of a batch without images.

    On CPUs the gradient of Keras' own layer ends the process there.

    Args, input and output shape: as in `keras.layers.MaxPooling2D`.

    Example:
        >>> AnyBatchMaxPooling2D(2)(np.zeros((0, 9, 8, 3))).shape
        TensorShape([0, 4, 4, 3])
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*plain(args), **{name: plain(value) for name, value in kwargs.items()})

    def call(self, inputs):
        return on_any_batch(super().call, inputs)
