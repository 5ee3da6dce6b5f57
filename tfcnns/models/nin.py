"""Network in Network (Lin, Chen, Yan 2013): micro networks slid over the image.

Every stage is an `MLPConv`; the last one has a map per class, and their spatial means
are the class scores: there is no dense layer.
"""

import keras

from tfcnns.layers import MLPConv


def nin(
    input_shape,
    mlpconvs,
    kernel_sizes,
    *,
    dropout=0.5,
    last_activation="relu",
    classifier_activation="softmax",
    kernel_initializer="glorot_uniform",
    preprocessing=(),
    name="nin",
):
    """A network in network of any depth: mlpconv, pool, dropout, ..., class maps, mean.

    Paper: section 3.3 and figure 2. Pooling is a maximum over 3x3 windows with stride 2,
    and dropout stands on the output of every mlpconv but the last (section 4.1).

    Args:
        input_shape: (height, width, channels); height and width may be None.
        mlpconvs: for each stage the widths of its micro network, such as
            ((192, 160, 96), (192, 192, 192), (192, 192, 10)); the last number of the
            last stage is the number of classes.
        kernel_sizes: for each stage the side of its spatial convolution, such as (5, 5, 3).
        dropout: fraction dropped after every stage but the last.
        last_activation: activation of the class maps. The authors' code has "relu";
            small nets learn more safely without it (None), since a rectified map that
            is zero everywhere gets no gradient.
        classifier_activation: "softmax", or None for the scores themselves.
        kernel_initializer: one for all kernels, or a sequence with one for each stage.
        preprocessing: layers applied to the input first, so that they are saved with it.
        name: the model's name.

    Returns:
        A functional `keras.Model`, (N, height, width, channels) -> (N, classes). Its
        layers are mlpconv1, pool1, drop1, mlpconv2, ..., gap, then the classifier.

    Raises:
        ValueError: `mlpconvs` and `kernel_sizes` differ in length.

    Differs from the paper: nothing, with the default arguments.
    """
    if len(mlpconvs) != len(kernel_sizes):
        raise ValueError(
            "Expected a kernel size for every mlpconv stage. "
            f"Received: mlpconvs={mlpconvs}, kernel_sizes={kernel_sizes}"
        )
    if not isinstance(kernel_initializer, (list, tuple)):
        kernel_initializer = [kernel_initializer] * len(mlpconvs)

    inputs = keras.Input(input_shape, name="image")  # (N, H, W, C)
    x = inputs
    for layer in preprocessing:
        x = layer(x)
    last = len(mlpconvs)
    for stage, (filters, size) in enumerate(zip(mlpconvs, kernel_sizes, strict=True), start=1):
        x = MLPConv(
            filters,
            size,
            last_activation=last_activation if stage == last else "relu",
            kernel_initializer=kernel_initializer[stage - 1],
            name=f"mlpconv{stage}",
        )(x)
        if stage < last:
            # "same" keeps the partial windows at the edge, as the authors' code does.
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"pool{stage}")(x)
            x = keras.layers.Dropout(dropout, name=f"drop{stage}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="gap")(x)  # (N, classes)
    outputs = keras.layers.Activation(classifier_activation, name="classifier", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)
