"""Keras' convolution and max-pooling, for batches of any size."""

import keras

from .layout import on_any_batch


@keras.saving.register_keras_serializable(package="tfcnns")
class AnyBatchConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, also of a batch without images.

    Of those, which replicas of a tf.distribute strategy get, Keras' own has no gradient on CPUs.

    Args, input and output shape: as in `keras.layers.Conv2D`.

    Example:
        >>> AnyBatchConv2D(4, 3)(np.zeros((0, 9, 8, 3))).shape
        TensorShape([0, 7, 6, 4])
    """

    def call(self, inputs):
        return on_any_batch(super().call, inputs)


@keras.saving.register_keras_serializable(package="tfcnns")
class AnyBatchMaxPooling2D(keras.layers.MaxPooling2D):
    """`keras.layers.MaxPooling2D`, also of a batch without images.

    On CPUs the gradient of Keras' own ends the process there.

    Args, input and output shape: as in `keras.layers.MaxPooling2D`.

    Example:
        >>> AnyBatchMaxPooling2D(2)(np.zeros((0, 9, 8, 3))).shape
        TensorShape([0, 4, 4, 3])
    """

    def call(self, inputs):
        return on_any_batch(super().call, inputs)
