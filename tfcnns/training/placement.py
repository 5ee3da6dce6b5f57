"""A model on several devices: its optimiser's variables beside its weights."""

import functools
import warnings

import keras
import tensorflow as tf

from tfcnns.training.paper_sgd import PaperSGD


def build_optimizer(model):
    """Builds a compiled model's optimiser so that it works where the weights are.

        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), ...)
        build_optimizer(model)
        model.fit(...)

    Left to `fit`, Keras' optimisers make the slots (momentum and the like) of all weights on the
    first device, and compute all updates there. After this, each weight's slots and its update
    are on its device. On one device, and under a tf.distribute strategy, which places them itself,
    it builds the optimiser and does nothing else.

    Raises:
        ValueError: a pattern of `PaperSGD`'s multipliers matches no weight of the model.
    """
    variables = model.trainable_variables
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    with warnings.catch_warnings():
        if isinstance(inner, PaperSGD):
            inner.check_patterns(model.weights)
            warnings.filterwarnings("ignore", "The pattern")  # they match layers that are frozen
        _build(optimizer, inner, variables)


def _build(optimizer, inner, variables):
    if tf.distribute.has_strategy() or len({v.value.device for v in variables}) < 2:
        optimizer.build(variables)
        return
    for name in ("add_variable_from_reference", "update_step"):
        setattr(inner, name, _beside_the_weight(getattr(inner, name), name))
    optimizer.build(variables)


def _beside_the_weight(method, name):
    """An optimiser's method, called on the device of the weight that it is about."""

    @functools.wraps(method)
    def placed(*args, **kwargs):
        weight = kwargs.get("reference_variable", kwargs.get("variable"))
        if weight is None:
            weight = args[0 if name == "add_variable_from_reference" else 1]
        with tf.device((weight.value if isinstance(weight, keras.Variable) else weight).device):
            return method(*args, **kwargs)

    return placed
