"""Where every net begins: the image, and the layers that were put before the net's own."""

import keras

from tfcnns.layers.hyperparameters import plain, whole, wholes


def image_input(input_shape, preprocessing, images=True):
    """The input of a net, and the tensor that its first layer gets.

    Args:
        input_shape: of one image, (height, width, channels), the first two perhaps None; unless
            `images`, any.
        preprocessing: a sequence of layers, which are applied to the input.
        images: False for a net that flattens what it gets.

    Raises: ValueError for another shape, and for what is no sequence of layers.
    """
    try:
        if images:
            height, width, channels = plain(input_shape)
            whole("input_shape", height, optional=True)
            whole("input_shape", width, optional=True)
            shape = (height, width, whole("input_shape", channels))
        else:
            shape = wholes("input_shape", input_shape)
    except (TypeError, ValueError) as error:
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
