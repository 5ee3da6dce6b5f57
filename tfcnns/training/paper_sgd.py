"""Momentum with the weight decay inside the velocity, as all four papers train."""

import contextlib
import math
import re
import warnings

import keras
from keras import ops

from tfcnns.layers.hyperparameters import flag, plain, real
from tfcnns.layers.xla import segment, segments_are_on


@keras.saving.register_keras_serializable(package="tfcnns")
class PaperSGD(keras.optimizers.Optimizer):
    """AlexNet's update rule (section 5), which is also cuda-convnet's, Caffe's and pylearn2's.

    For every weight w with the gradient g of the batch's mean loss:

        v <- m v - e (g + d w)
        w <- w + v

    where m is the momentum, e the learning rate times the weight's multiplier and d its
    weight decay. The decay is that of an L2 penalty d/2 |w|^2: it goes through the velocity
    and is scaled by e, multiplier included. `weight_decay=` of Keras' own optimisers is
    another rule, w <- w - e d w past the velocity.

    A change of e acts on new gradients only; steps that are in v already go on at their old
    size. `torch.optim.SGD` has v <- m v + (g + d w), w <- w - e v: the same path as long as
    e stays as it is, but there a cut shrinks the steps in v too. To get one from the other
    at a change from e1 to e2, multiply v here by e2/e1.

    Multipliers go by a weight's path, such as "conv1/kernel" or "mlpconv3/cccp2/bias". Each
    key is a regular expression that may match anywhere in the path ("conv1" also matches
    "conv10"; "(^|/)conv1/" doesn't); a weight gets the product of all that match:

        PaperSGD(0.1, weight_decay=1e-4, multipliers={"bias": 2.0, "mlpconv3/cccp2": 0.1})

    trains mlpconv3/cccp2/bias with 0.1 * 2.0 * 0.1 = 0.02.

    Args:
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: m, from 0 up to but not including 1. A variable of the optimiser: it may
            be set while training (`MomentumRamp`) and is saved with the others.
        weight_decay: d, per update and unit of learning rate; 0.0: none.
        multipliers: dict of pattern -> factor of the learning rate; 0.0 freezes a weight.
        decay_multipliers: dict of pattern -> factor of the weight decay.
        decay_biases: whether weights with "bias" in their name decay too; in the authors'
            code of AlexNet, and in the NIN nets for Caffe, they don't.
        name: the optimiser's name.
        **kwargs: of `keras.optimizers.Optimizer`: clipnorm, clipvalue, global_clipnorm
            (they clip g, before the decay is added), use_ema, loss_scale_factor, ...

    Raises:
        ValueError: an argument out of range, or a pattern that isn't a regular expression.

    A pattern that matches none of the trained weights is a warning, since the layers that it is for
    may be frozen; `build_optimizer`, and so the training script, knows the model and refuses one
    that matches none of its weights.

    Example:
        >>> optimizer = PaperSGD(0.01, momentum=0.9, weight_decay=5e-4)
        >>> model.compile(optimizer, "categorical_crossentropy")
        >>> optimizer.momentum = 0.95

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional
    neural networks" (2012), section 5; multipliers as epsW and epsB of its code.
    """

    def __init__(
        self,
        learning_rate,
        momentum=0.9,
        weight_decay=0.0,
        multipliers=None,
        decay_multipliers=None,
        decay_biases=False,
        name=None,
        **kwargs,
    ):
        momentum = real("momentum", momentum, least=0, below=1)
        weight_decay = real("weight_decay", weight_decay, least=0)
        kwargs = {key: plain(value) for key, value in kwargs.items()}
        super().__init__(plain(learning_rate), weight_decay=weight_decay, name=name, **kwargs)
        self.multipliers = _checked("multipliers", multipliers)
        self.decay_multipliers = _checked("decay_multipliers", decay_multipliers)
        self.decay_biases = flag("decay_biases", decay_biases)
        self._momentum = self.add_variable(
            (),
            keras.initializers.Constant(momentum),
            aggregation="only_first_replica",
            name="momentum",
        )

    @property
    def momentum(self):
        """The momentum as a scalar variable; assigning a number sets its value."""
        return self._momentum

    @momentum.setter
    def momentum(self, value):
        self._momentum.assign(value)

    def multiplier(self, path):
        """The factor of the learning rate for the weight at `path`."""
        return _product(self.multipliers, path)

    def decay(self, path):
        """The weight decay d of the weight at `path`."""
        if "bias" in path.rsplit("/", 1)[-1] and not self.decay_biases:
            return 0.0
        return self.weight_decay * _product(self.decay_multipliers, path)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        paths = [getattr(v, "path", v.name) for v in variables]
        for pattern in self._unmatched(paths):
            warnings.warn(
                f"The pattern {pattern!r} of the multipliers is in none of the trained weights "
                f"{paths}",
                stacklevel=2,
            )
        self._multipliers = [self.multiplier(path) for path in paths]
        self._decays = [
            self.decay(path) if self._use_weight_decay(v) else 0.0
            for path, v in zip(paths, variables, strict=True)
        ]
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def check_patterns(self, weights):
        """Raises ValueError for a pattern that matches none of a model's weights, frozen or not."""
        paths = [w.path for w in weights]
        for pattern in self._unmatched(paths):
            raise ValueError(
                "Expected every pattern of the multipliers to match a weight. "
                f"Received: {pattern!r}, which is in none of {paths}"
            )

    def _unmatched(self, paths):
        patterns = [*self.multipliers, *self.decay_multipliers]
        return [p for p in patterns if not any(re.search(p, path) for path in paths)]

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        velocity = self.velocities[index]
        momentum = ops.cast(self._momentum, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype) * self._factor(index, variable, gradient)
        if segments_are_on():
            state = (variable, velocity, gradient, momentum, rate)
            moved, velocity_moved = _moved(*state, decay=self._decays[index])
            self.assign(velocity, velocity_moved)
            self.assign(variable, moved)
            return
        if self._decays[index]:
            gradient = gradient + self._decays[index] * variable
        self.assign(velocity, momentum * velocity - rate * gradient)
        self.assign_add(variable, velocity)

    def _factor(self, index, variable, gradient):
        """What the learning rate is multiplied by for a weight."""
        return self._multipliers[index]

    def _apply_weight_decay(self, variables):
        pass  # Keras' decoupled decay; here it is in the velocity

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        with _device_of(reference_variable):
            return super().add_variable_from_reference(reference_variable, name, initializer)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": float(self._momentum.numpy()),
            "multipliers": dict(self.multipliers),
            "decay_multipliers": dict(self.decay_multipliers),
            "decay_biases": self.decay_biases,
        }


@segment
def _moved(weight, velocity, gradient, momentum, rate, decay):
    """w + v and v after the update, in one pass over memory."""
    velocity = momentum * velocity - rate * (gradient + decay * weight)
    return weight + velocity, velocity


def _checked(name, factors):
    factors = {pattern: plain(factor) for pattern, factor in (factors or {}).items()}
    for pattern, factor in factors.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"Expected {name} to have regular expressions as keys. "
                f"Received: {pattern!r} ({error})"
            ) from None
        if not 0 <= factor < math.inf:
            raise ValueError(f"Expected finite {name} >= 0. Received: {pattern!r}: {factor}")
    return factors


def _product(factors, path):
    return math.prod(factor for pattern, factor in factors.items() if re.search(pattern, path))


def _device_of(variable):
    """Puts new variables where `variable` is: `fit` would leave slots of GPU:1 on GPU:0."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    if tf.distribute.has_strategy():  # places copies itself
        return contextlib.nullcontext()
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return tf.device(value.device)
