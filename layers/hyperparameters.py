"""What layers, models and optimisers are given: checked, and as plain Python values.

NumPy's scalars, which files of settings and searches for hyperparameters hand out, become the
numbers that they are: they neither mix with TensorFlow's types as Python's do nor go into JSON.
Every function takes the argument's name and value, and returns the value; or raises a ValueError
that tells what was expected and what was received.
"""

import math

import keras
import numpy as np


def plain(value):
    """NumPy's scalars as Python's; arrays, and lists, which files make of tuples, as tuples."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, (tuple, list)) else value


def whole(name, value, least=1, optional=False):
    """An integer, `least` or more, or where it is `optional` None; True and False are none."""
    given = plain(value)
    if _is_whole(given, least) or (optional and given is None):
        return given
    expected = "a positive integer" if least == 1 else "an integer"
    expected += f" >= {least}" if 1 != least > -math.inf else ""
    raise _wrong(name, f"{expected} or None" if optional else expected, value)


def seed_number(name, value):
    """An integer, or None."""
    return whole(name, value, -math.inf, optional=True)


def wholes(name, value, empty=False):
    """A tuple of positive integers, perhaps an `empty` one, of a sequence of them."""
    given = plain(value)
    valid = isinstance(given, tuple) and all(_is_whole(item, 1) for item in given)
    if valid and (given or empty):
        return given
    raise _wrong(name, "a tuple of positive integers", value)


def size(name, value):
    """Pixels along height and width: a positive integer for both, or a pair of them."""
    given = plain(value)
    sides = pair(given)
    if len(sides) == 2 and all(_is_whole(side, 1) for side in sides):
        return given
    raise _wrong(name, "a positive integer or a pair of them", value)


def pair(size):
    """The pair of what `size` returned."""
    return size if isinstance(size, tuple) else (size, size)


def real(
    name,
    value,
    least=-math.inf,
    most=math.inf,
    above=-math.inf,
    below=math.inf,
    optional=False,
):
    """A finite number from `least` to `most`, or between `above` and `below`."""
    given = plain(value)
    if optional and given is None:
        return None
    valid = isinstance(given, (int, float)) and not isinstance(given, bool)
    if valid and math.isfinite(given) and least <= given <= most and above < given < below:
        return given
    bounds = ((">=", least), (">", above), ("<=", most), ("<", below))
    bounds = [f"{sign} {bound:g}" for sign, bound in bounds if math.isfinite(bound)]
    expected = " ".join(["a finite number", " and ".join(bounds)]).strip()
    raise _wrong(name, f"{expected} or None" if optional else expected, value)


def flag(name, value):
    """True or False."""
    given = plain(value)
    if isinstance(given, bool):
        return given
    raise _wrong(name, "True or False", value)


def choice(name, value, choices, capitals=False):
    """One of some texts, and perhaps None; as it was written, perhaps in `capitals`."""
    if (value.lower() if capitals and isinstance(value, str) else value) in choices:
        return value
    raise _wrong(name, f"one of {tuple(choices)}", value)


def from_keras(name, value):
    """Keras' object behind a name, a configuration or such an object, of the kind that the last
    word of the argument's name tells: an activation, initializer, regularizer or constraint."""
    module = getattr(keras, f"{name.rpartition('_')[-1]}s")
    try:
        return module.get(value)
    except (ValueError, TypeError) as error:
        if isinstance(value, dict):
            raise  # from a file: Keras says what to register
        expected = f"what keras.{name.rpartition('_')[-1]}s.get takes"
        raise _wrong(name, expected, value) from error


def _is_whole(value, least):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _wrong(name, expected, value):
    return ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")
