"""Try and except for tf.data, where an operation that fails ends the whole stream.

Meant for use inside tf.data, where it costs .2 ms; called eagerly, some 30 ms.
"""

import tensorflow as tf


def attempt(function, otherwise, *tensors):
    """function(*tensors) or, if any operation of it fails, otherwise(*tensors).

    Both return tensors of the same types, and of shapes that agree where they are known.
    What fails in `otherwise` is raised.
    """
    given = tf.data.Dataset.from_tensors(tensors)
    return first_of(given.map(function), given.map(otherwise))


def first_of(dataset, otherwise):
    """The first element of a dataset or, if there is none or it fails, that of the other."""
    return dataset.ignore_errors().concatenate(otherwise).take(1).get_single_element()
