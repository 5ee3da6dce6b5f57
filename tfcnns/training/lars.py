"""LARS: a learning rate for each layer, for batches of thousands of images."""

import keras
from keras import ops

from tfcnns.layers.hyperparameters import real
from tfcnns.layers.xla import segment
from tfcnns.training.paper_sgd import PaperSGD


@keras.saving.register_keras_serializable(package="tfcnns")
class LARS(PaperSGD):
    """Layer-wise adaptive rate scaling (You, Gitman, Ginsburg 2017, algorithm 1).

    For every weight tensor w with the gradient g of the batch's mean loss:

        l = trust |w| / (|g| + d |w|)
        v <- m v - e l (g + d w)
        w <- w + v

    where |.| is the Euclidean norm of the whole tensor, m the momentum, e the learning rate times
    the weight's multiplier and d its weight decay. A step is thus e * trust times as long as w,
    however large g is. l is 1 where w or g is all zeros.

    Biases, and all weights of one dimension, are left out: they follow `PaperSGD`, at the plain
    rate e. That is made for nets with batch normalisation, and e is some 1,000 times that of SGD
    here; nets without it, as those of this package, want `multipliers={"bias": trust}`.

    A tensor is what Keras calls a variable: each tower of `TowerConv` and `TowerDense` has a
    kernel of its own and so a ratio of its own, on one device or two; the pieces of a maxout
    layer share one kernel and one ratio. A ratio is worked out where its weight is.

    Args:
        learning_rate: float or schedule; such as 10 for a batch of 8,192. Warm it up with
            `tfcnns.training.schedules.WarmUp`.
        momentum, weight_decay: m and d, as in `PaperSGD`.
        trust: the trust coefficient, above 0.
        **kwargs: of `PaperSGD`: multipliers, decay_multipliers, ...

    Raises:
        ValueError: as in `PaperSGD`, and for a `trust` that isn't a finite number above 0.

    Example:
        >>> optimizer = LARS(10.0, 0.9, 5e-4, multipliers={"bias": 0.001})
        >>> model.compile(optimizer, "categorical_crossentropy")

    Source: You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks" (2017),
    arXiv:1708.03888. What is left out, and the 1 for zeros, are not in the paper but in the
    implementations that are compared by (MLPerf's among them).
    """

    def __init__(self, learning_rate, momentum=0.9, weight_decay=0.0, trust=0.001, **kwargs):
        super().__init__(learning_rate, momentum, weight_decay, **kwargs)
        self.trust = real("trust", trust, above=0)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._scaled = [len(v.shape) > 1 and "bias" not in v.name for v in variables]

    def get_config(self):
        return {**super().get_config(), "trust": self.trust}

    def _factor(self, index, variable, gradient):
        factor = super()._factor(index, variable, gradient)
        if not self._scaled[index]:
            return factor
        ratio = _ratio(variable, gradient, trust=self.trust, decay=self._decays[index])
        return factor * ops.cast(ratio, variable.dtype)


@segment
def _ratio(weight, gradient, trust, decay):
    """l, in float32 at least."""
    w, g = _norm(weight), _norm(gradient)
    usable = ops.logical_and(w > 0, g > 0)
    return ops.where(usable, trust * w / ops.where(usable, g + decay * w, 1.0), 1.0)


def _norm(x):
    x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    return ops.sqrt(ops.sum(ops.square(x)))
