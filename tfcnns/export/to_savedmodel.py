"""The SavedModel: every endpoint, and the model's variables."""

import tensorflow as tf

from tfcnns.errors import UserError


def write(folder, model, endpoints):
    """Writes a SavedModel.

    Args:
        folder: directory to write into.
        model: the keras.Model, of which the variables alone are saved.
        endpoints: dict of name and ConcreteFunction.
    """
    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]
    try:
        tf.saved_model.save(module, str(folder), signatures=endpoints)
    except AssertionError as error:  # a variable or table that is not the model's
        first = str(error).strip().splitlines()[0]
        raise UserError(f"the model uses what it doesn't hold: {first}") from error
