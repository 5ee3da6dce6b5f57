"""What a Keras optimiser does to each replica's gradients, done to their sum instead.

finite    under mixed_float16 a step is left out when a gradient overflows. Keras asks the
          first replica alone; here one replica's overflow leaves the step out for all.
clipping  (clipnorm, clipvalue, global_clipnorm) Keras clips before it adds up.
EMA       `ema_overwrite_frequency` is a condition that no replica may meet alone, which
          TensorFlow refuses; here the weights are written in any case, with what they are.
"""

import contextlib

import tensorflow as tf

from tfcnns.training import parts
from tfcnns.training.changed import changed


@contextlib.contextmanager
def of_all(optimizer):
    """While it lasts, `optimizer` updates each replica as one that holds the whole batch would."""
    with contextlib.ExitStack() as changes:
        if hasattr(optimizer, "check_finite"):
            check = optimizer.check_finite
            changes.enter_context(
                changed(optimizer, check_finite=lambda gradients: everywhere(check(gradients)))
            )
        inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
        for one in getattr(inner, "optimizers", [inner]):  # of a MultiOptimizer
            if one.gradient_accumulation_steps:
                raise ValueError(
                    "Expected no gradient_accumulation_steps under a strategy, where "
                    "tfcnns.training.accumulation.accumulate(model, passes) does it. "
                    f"Received: gradient_accumulation_steps={one.gradient_accumulation_steps}"
                )
            changes.enter_context(changed(one, **_clipping(one), **_averaging(one)))
        yield


def everywhere(true):
    """Whether a boolean scalar is true on every replica. In replica context."""
    return parts.over_replicas(tf.cast(tf.logical_not(true), tf.float32)) == 0


def _clipping(optimizer):
    if not (optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue):
        return {}
    clip, summed = optimizer._clip_gradients, optimizer._all_reduce_sum_gradients

    def clip_sums(gradients):
        sums = [total for total, _ in summed([(gradient, None) for gradient in gradients])]
        # Exchanged in bfloat16, they are clipped as precisely as without.
        return clip([tf.cast(g, tf.float32) if g.dtype == tf.bfloat16 else g for g in sums])

    return {"_clip_gradients": clip_sums, "_all_reduce_sum_gradients": lambda pairs: pairs}


def _averaging(optimizer):
    every = optimizer.ema_overwrite_frequency
    if not (optimizer.use_ema and every):
        return {}
    update = optimizer._update_model_variables_moving_average

    def update_and_write(variables):
        update(variables)
        now = (optimizer.iterations + 1) % every == 0
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(variables, averages, strict=True):
            if average is not None:
                variable.assign(tf.where(now, average.value, variable.value))

    return {
        "_update_model_variables_moving_average": update_and_write,
        "ema_overwrite_frequency": None,
    }
