"""What XLA compiles: the one place that decides it.

A segment is a function of tensors that reads and writes memory more than it computes: LRN,
maxout's max, an optimiser's update. XLA makes one pass over memory of it, forwards and another
backwards, wherever the segment runs: on one device, under a device pin, and in the replicas of
a tf.distribute strategy, where `jit_compile=True` of `compile` fails or is silently off. What
computes more than it moves, convolutions above all, stays outside: on CPUs XLA's are slower.

The rules for a segment: it takes tensors and settings that can be hashed, and uses no variables
but those among its arguments, whose values go in (captured ones fail under a strategy). It may be
called with batches of any size, 0 included. Each new shape is compiled once more: for the last,
smaller batch of an epoch, for that of the validation data, and not again.

`xla_segments` is the switch, off at first. Under the JAX backend it does nothing: there jax.jit
compiles whole steps.
"""

import functools

import keras

_on = False


def xla_segments(on):
    """Turns the segments on or off, for what is traced or called from now on.

        xla_segments(True)
        with xla_segments(False):  # and back afterwards
            model.export(path)

    A model that has already been trained or called holds the traces of before:
    `model.make_train_function(force=True)`, or compiling it again, makes new ones. Graphs for
    export are traced with the switch off: a server may have no XLA.

    Args:
        on: whether XLA compiles them.

    Returns:
        A context manager that puts the switch back when it is left.
    """
    global _on
    before, _on = _on, bool(on)
    return _Until(before)


def segments_are_on():
    """Whether segments are compiled now."""
    return _on and keras.backend.backend() == "tensorflow"


def segment(function):
    """Makes a segment of `function(*tensors, **settings)`: see the top of this file."""

    @functools.cache
    def compiled(settings, signature):
        import tensorflow as tf

        bound = functools.partial(function, **dict(settings))
        return tf.function(bound, jit_compile=True, autograph=False, reduce_retracing=True)

    @functools.wraps(function)
    def call(*tensors, **settings):
        if not segments_are_on():
            return function(*tensors, **settings)
        import tensorflow as tf

        values = [x.value if isinstance(x, keras.Variable) else x for x in tensors]
        values = [tf.convert_to_tensor(x) for x in values]
        # One for each kind of input but for the batch, which may vary without another trace.
        signature = tuple((x.dtype, tuple(x.shape[1:])) for x in values if x.shape.rank)
        return compiled(tuple(sorted(settings.items())), signature)(*values)

    return call


class _Until:
    def __init__(self, before):
        self._before = before

    def __enter__(self):
        return self

    def __exit__(self, *error):
        global _on
        _on = self._before
