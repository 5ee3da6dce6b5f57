"""The rectifier of the networks that OverFeat's authors released."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfcnns")
def threshold(x):
    """x where it is positive, 1e-6 elsewhere: Torch's `Threshold(0, 1e-6)`.

    An activation, given to a layer as `activation=threshold` and saved with it; its gradient is
    the ReLU's. Keras' own function of this name wants the two numbers with every call.

    Source: jhjin/overfeat-torch, run.lua; sermanet/OverFeat, src/modules.hpp.
    """
    return ops.where(x <= 0, ops.cast(1e-6, x.dtype), x)  # NaN stays NaN
