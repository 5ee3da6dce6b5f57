"""How many: one check of all arguments of detection that count something."""

import operator

import tensorflow as tf


def checked_count(name, value, least=0, none=False):
    """A whole number of `least` or more as an int, NumPy's whole numbers too.

    A tensor inside a graph, which has no value yet, is given back as it is.

    Args:
        name: of the argument, for the error.
        value: what was given.
        least: the smallest that is allowed.
        none: whether None, for no limit, is allowed.

    Raises: ValueError for anything else, booleans too.
    """
    if (value is None and none) or tf.is_symbolic_tensor(value):
        return value
    try:
        count = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = least - 1
    if count < least:
        raise ValueError(
            f"`{name}` must be a whole number of {least} or more"
            f"{', or None for no limit' if none else ''}. Received: {name}={value}"
        )
    return count
