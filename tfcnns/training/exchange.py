"""In what type replicas tell each other their gradients."""

import tensorflow as tf


def exchange_in(optimizer, dtype="bfloat16"):
    """Has replicas exchange float32 gradients as `dtype`: bfloat16 halves the bytes.

    Each replica's gradient is rounded to the 8 bits that bfloat16 keeps of a number, and so are
    the sums; its range is float32's, so that nothing overflows or vanishes. Weights, velocities
    and the update stay in float32. Of a net that computes in mixed_bfloat16 the gradients have no
    more bits to begin with. Without replicas it would round for nothing.

    Jia et al. (2018, arXiv:1807.11205) and Sun et al. (2019, arXiv:1902.06855) had AlexNet's
    gradients exchanged in 16 bits, float16's.

    Args:
        optimizer: Keras' or this package's, whose update casts the gradient to the weight's type.
        dtype: "float32", which changes nothing, or "bfloat16".
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"Expected dtype float32 or bfloat16. Received: dtype={dtype!r}")
    if dtype == "float32":
        return
    # A LossScaleOptimizer first undoes its scaling, and then has the inner one apply the rest.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    apply = inner.apply

    def apply_rounded(grads, trainable_variables=None):
        return apply([_rounded(g, dtype) for g in grads], trainable_variables)

    inner.apply = apply_rounded


def _rounded(gradient, dtype):
    is_float32 = gradient is not None and gradient.dtype == tf.float32
    return tf.cast(gradient, dtype) if is_float32 else gradient
