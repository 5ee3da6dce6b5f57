"""The value a variable has now, whoever asks."""

import keras
from keras import ops


def concrete(variable):
    """The value of `variable` in NumPy, also while TensorFlow traces a graph around the caller.

    None where there is no value to be had: in a function that JAX is tracing, and where
    `stateless_call` puts a tensor of a graph in the variable's place.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.init_scope():
            value = variable.value
            return value.numpy() if hasattr(value, "numpy") else None
    if keras.backend.backend() == "jax":
        import jax

        if isinstance(variable.value, jax.core.Tracer):
            return None
    return ops.convert_to_numpy(variable)
