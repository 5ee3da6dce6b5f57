"""Where every net begins: the image, and the layers that were put before the net's own."""

import keras

from tfcnns.layers.hyperparameters import whole


def image_input(input_shape, preprocessing, images=True):
    """The input of a net, and the tensor that its first layer gets.

    Args:
        input_shape: of one image, (height, width, channels), the first two perhaps None; unless
            `images`, any.
        preprocessing: a sequence of layers, which are applied to the input.
        images: False for a net that flattens what it gets.

    Raises: ValueError for another shape, and for what is no sequence of layers.
    """
    sides = list(input_shape) if isinstance(input_shape, (tuple, list)) else []
    try:
        unknown = (True, True, False) if images else (False,) * len(sides)
        sides = zip(sides, unknown, strict=True)
        shape = tuple(whole("input_shape", side, optional=none) for side, none in sides)
    except ValueError as error:
        expected = "(height, width, channels)" if images else "a shape"
        raise ValueError(
            f"`input_shape` must be {expected} of positive integers. "
            f"Received: input_shape={input_shape!r}"
        ) from error
    layers = preprocessing if isinstance(preprocessing, (tuple, list)) else [None]
    if not all(callable(layer) for layer in layers):
        raise ValueError(
            "`preprocessing` must be a sequence of layers. "
            f"Received: preprocessing={preprocessing!r}"
        )
    inputs = x = keras.Input(shape, name="image")
    for layer in layers:
        x = layer(x)
    return inputs, x
