"""A net without its top, as those of keras.applications with `include_top=False`."""

import keras

POOLINGS = (None, "avg", "max")


def trunk(inputs, x, pooling, name):
    """The model that ends at the maps x, or at one number for each of them.

    Args:
        inputs: the model's input.
        x: (N, h, w, C), the maps.
        pooling: of `POOLINGS`; None for the maps, "avg" or "max" for their means or maxima, (N, C).
        name: the model's name.

    Raises: ValueError for a `pooling` of features that aren't maps.
    """
    if pooling is not None and len(x.shape) != 4:
        raise ValueError(
            "`pooling` is over maps, and the net without its top ends at features of shape "
            f"{x.shape[1:]}. Received: pooling={pooling!r}"
        )
    if pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D("channels_last", name="avg_pool")(x)
    if pooling == "max":
        x = keras.layers.GlobalMaxPooling2D("channels_last", name="max_pool")(x)
    return keras.Model(inputs, x, name=name)
