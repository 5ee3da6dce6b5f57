"""Network in Network (Lin, Chen, Yan 2013): micro networks slid over the image.

Every stage is an `MLPConv`; the last one has a map per class, and their spatial means
are the class scores: there is no dense layer.
"""

import keras

from tfcnns.layers import CeilAveragePooling2D, CeilMaxPooling2D, MLPConv, ScaledDropout
from tfcnns.layers.hyperparameters import choice, flag, from_keras, real, whole, wholes
from tfcnns.models.image_input import image_input
from tfcnns.models.trunk import POOLINGS, trunk

POOLS = {"max": CeilMaxPooling2D, "average": CeilAveragePooling2D}
TOPS = ("gap", "fc", "fc_dropout")


def nin(
    input_shape,
    mlpconvs,
    kernel_sizes,
    *,
    strides=1,
    paddings="same",
    pools="max",
    dropout=0.5,
    scale_at_test=False,
    top="gap",
    last_activation="relu",
    classifier_activation="softmax",
    include_top=True,
    pooling=None,
    kernel_initializer="glorot_uniform",
    preprocessing=(),
    name="nin",
):
    """A network in network of any depth: mlpconv, pool, dropout, ..., class maps, mean.

    Paper: section 3.3 and figure 2. Pooling is over 3x3 windows with stride 2 and keeps the
    partial windows at the right and bottom edges, as the authors' code does; dropout stands on
    the output of every mlpconv but the last (section 4.1).

    Args:
        input_shape: (height, width, channels); height and width may be None under "gap".
        mlpconvs: for each stage the widths of its micro network, such as
            ((192, 160, 96), (192, 192, 192), (192, 192, 10)); the last number of the
            last stage is the number of classes.
        kernel_sizes: for each stage the side of its spatial convolution, such as (5, 5, 3).
        strides: of that convolution, pixels; one for all stages, or a sequence with one each.
        paddings: "same" or "valid" for that convolution; one, or a sequence with one each.
        pools: "max" or "average"; one, or a sequence with one for each stage but the last.
        dropout: fraction dropped after every stage but the last; or a sequence with one for
            each of them, where None leaves the layer out.
        scale_at_test: how dropout keeps the mean. False: what is kept is divided by 1 - dropout in
            training, as in Keras and Caffe. True: outputs are multiplied by 1 - dropout at test,
            as in the authors' own code. The two compute the same when the kernels of the layers
            after dropout are larger by 1 / (1 - dropout) in the second, but start and learn at
            different rates.
        top: what turns class maps into scores. "gap": their means. For the comparison of
            section 4.6, "fc": a dense layer on all maps; "fc_dropout": dropout of 0.5 and a
            dense layer.
        last_activation: activation of the class maps. The authors' code has "relu";
            small nets learn more safely without it (None), since a rectified map that
            is zero everywhere gets no gradient.
        classifier_activation: "softmax", or None for the scores themselves.
        include_top: False ends the net after the last pool: the last mlpconv, whose maps are the
            classes, belongs to the top.
        pooling: of that pool's maps then: None, "avg" or "max", as in keras.applications.
        kernel_initializer: one for all kernels, or a sequence with one for each stage; in it,
            one for all layers of the stage, or a sequence with one each. The dense layer of
            "fc" takes the very last.
        preprocessing: layers applied to the input first, so that they are saved with it.
        name: the model's name.

    Returns:
        A functional `keras.Model`, (N, height, width, channels) -> (N, classes). Its
        layers are mlpconv1, pool1, drop1, mlpconv2, ..., gap, then the classifier. With the
        other tops, flatten, drop_fc (in "fc_dropout") and fc stand in the place of gap. With
        `scale_at_test`, each drop1 is followed by a scale1.

    Raises:
        ValueError: an argument outside what is said above, a sequence that has not one item for
            each stage, and a dense layer on an input of unknown size.

    Differs from the paper: nothing, with the default arguments; from the authors' own code,
    dropout, unless `scale_at_test`.
    """
    if not isinstance(mlpconvs, (tuple, list)) or not mlpconvs:
        raise ValueError(
            "`mlpconvs` must be a sequence of tuples, one for each stage. "
            f"Received: mlpconvs={mlpconvs!r}"
        )
    mlpconvs = [wholes("mlpconvs", widths) for widths in mlpconvs]
    last = len(mlpconvs)
    kernel_sizes = _one_each("kernel_sizes", kernel_sizes, last)
    top = choice("top", top, TOPS)
    include_top = flag("include_top", include_top)
    pooling = choice("pooling", pooling, POOLINGS)
    last_activation = from_keras("last_activation", last_activation)
    classifier_activation = from_keras("classifier_activation", classifier_activation)
    inputs, x = image_input(input_shape, preprocessing)  # (N, H, W, C)
    if top != "gap" and None in inputs.shape[1:]:
        raise ValueError(
            "A dense layer needs to know the height and width of the input. "
            f"Received: top={top!r}, input_shape={input_shape}"
        )
    strides = _one_each("strides", strides, last)
    paddings = _one_each("paddings", paddings, last)
    pools = _one_each("pools", pools, last - 1)
    dropout = [
        real("dropout", rate, least=0, most=1, optional=True)
        for rate in _one_each("dropout", dropout, last - 1)
    ]
    kernel_initializer = _one_each("kernel_initializer", kernel_initializer, last)
    pools = [choice("pools", pool, tuple(POOLS)) for pool in pools]
    channels = {"data_format": "channels_last"}  # whatever Keras is set to

    features = x
    for i in range(last):
        stage = i + 1
        if stage == last and not include_top:
            return trunk(inputs, features, pooling, name)
        x = MLPConv(
            mlpconvs[i],
            kernel_sizes[i],
            strides=strides[i],
            padding=paddings[i],
            last_activation=last_activation if stage == last else "relu",
            kernel_initializer=kernel_initializer[i],
            **channels,
            name=f"mlpconv{stage}",
        )(x)
        if stage < last:
            x = features = POOLS[pools[i]](3, 2, **channels, name=f"pool{stage}")(x)
            if dropout[i] is not None:
                x = _drop(x, dropout[i], scale_at_test, stage)
    # (N, h, w, classes)
    if top == "gap":
        x = keras.layers.GlobalAveragePooling2D(**channels, name="gap")(x)
    else:
        x = keras.layers.Flatten(**channels, name="flatten")(x)
        if top == "fc_dropout":
            x = _drop(x, 0.5, scale_at_test, "_fc")
        initializer = kernel_initializer[-1]
        if isinstance(initializer, (list, tuple)):
            initializer = initializer[-1]
        x = keras.layers.Dense(mlpconvs[-1][-1], kernel_initializer=initializer, name="fc")(x)
    # (N, classes)
    outputs = keras.layers.Activation(classifier_activation, name="classifier", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def nin_cifar10(
    input_shape=(32, 32, 3),
    classes=10,
    *,
    width=1.0,
    pool2="max",
    kernel_initializer=None,
    name="nin_cifar10",
    **kwargs,
):
    """The net for CIFAR-10, with and without augmentation: 966,986 parameters.

    Sections 4.2 and 4.6: test error 10.41 %, 8.81 % with translations and flips, 14.51 % without
    dropout; with other tops 10.88 % ("fc_dropout") and 11.59 % ("fc"). Maps: 32 -> 16 -> 8.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        width: factor on all widths but the number of classes, for small tests.
        pool2: "max", or "average" for the authors' later net in the Caffe model zoo.
        kernel_initializer: as in `nin`; None for the authors' normal distribution, std 0.05.
        name: the model's name.
        **kwargs: dropout, scale_at_test, top, last_activation, classifier_activation,
            include_top, pooling, preprocessing, as in `nin`. The paper's preprocessing is
            maxout's: `GlobalContrastNormalization` (norm 55), then `ZCAWhitening`.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: nothing; widths and initial weights are those of the authors' files.
    Which initial weights the dense layer of the other tops had is not known.
    """
    return nin(
        input_shape,
        _scaled(((192, 160, 96), (192, 192, 192), (192, 192)), width, classes),
        (5, 5, 3),
        pools=("max", pool2),
        kernel_initializer=kernel_initializer or _normal(0.05),
        name=name,
        **kwargs,
    )


def nin_cifar100(
    input_shape=(32, 32, 3),
    classes=100,
    *,
    width=1.0,
    kernel_initializer=None,
    name="nin_cifar100",
    **kwargs,
):
    """The net for CIFAR-100: that for CIFAR-10 with 100 class maps, 984,356 parameters.

    Section 4.3, where its test error is 35.68 %. Maps: 32 -> 16 -> 8.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        width: factor on all widths but the number of classes, for small tests.
        kernel_initializer: as in `nin`; None for the authors' normal distributions, std 0.001 in
            the first convolution, 0.01 in the two layers after it, 0.05 in all others.
        name: the model's name.
        **kwargs: pools, dropout, scale_at_test, top, last_activation, classifier_activation,
            include_top, pooling, preprocessing, as in `nin`. Preprocessing as for
            `nin_cifar10`.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: nothing; widths and initial weights are those of the authors' files.
    """
    first = (_normal(0.001), _normal(0.01), _normal(0.01))
    return nin(
        input_shape,
        _scaled(((192, 160, 96), (192, 192, 192), (192, 192)), width, classes),
        (5, 5, 3),
        kernel_initializer=kernel_initializer or (first, _normal(0.05), _normal(0.05)),
        name=name,
        **kwargs,
    )


def nin_svhn(
    input_shape=(32, 32, 3),
    classes=10,
    *,
    width=1.0,
    kernel_initializer=None,
    name="nin_svhn",
    **kwargs,
):
    """The net for street view house numbers, 1,986,026 parameters.

    Section 4.4, where its test error is 2.35 %. Maps: 32 -> 16 -> 8.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        width: factor on all widths but the number of classes, for small tests.
        kernel_initializer: as in `nin`; None for the authors' normal distribution, std 0.05.
        name: the model's name.
        **kwargs: pools, dropout, scale_at_test, top, last_activation, classifier_activation,
            include_top, pooling, preprocessing, as in `nin`. The paper's
            preprocessing is `LocalContrastNormalization`, after maxout's
            `GlobalContrastNormalization(1)`.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: nothing; widths and initial weights are those of the authors' files.
    """
    return nin(
        input_shape,
        _scaled(((128, 96, 64), (320, 256, 128), (384, 256)), width, classes),
        (5, 5, 5),
        kernel_initializer=kernel_initializer or _normal(0.05),
        name=name,
        **kwargs,
    )


def nin_mnist(
    input_shape=(28, 28, 1),
    classes=10,
    *,
    width=1.0,
    kernel_initializer=None,
    name="nin_mnist",
    **kwargs,
):
    """The net for MNIST, 349,674 parameters.

    Section 4.5, where its test error is 0.47 %. Maps: 28 -> 14 -> 7.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        width: factor on all widths but the number of classes, for small tests.
        kernel_initializer: as in `nin`; None for the authors' normal distribution, std 0.05.
        name: the model's name.
        **kwargs: pools, dropout, scale_at_test, top, last_activation, classifier_activation,
            include_top, pooling, preprocessing, as in `nin`. cuda-convnet, which the authors
            used, subtracts the mean image of the training set from pixels in 0 to 255.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: nothing; widths and initial weights are those of the authors' files.
    """
    return nin(
        input_shape,
        _scaled(((96, 64, 48), (128, 96, 48), (128, 96)), width, classes),
        (5, 5, 5),
        kernel_initializer=kernel_initializer or _normal(0.05),
        name=name,
        **kwargs,
    )


def nin_imagenet(
    input_shape=(224, 224, 3),
    classes=1000,
    *,
    width=1.0,
    kernel_initializer=None,
    name="nin_imagenet",
    **kwargs,
):
    """The authors' net for ImageNet in the Caffe model zoo: four stages, 7,595,176 parameters.

    Top-1 accuracy 59.36 % on the validation set, from one view. Maps: 224 -> 54 -> 27 -> 13 -> 6.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        width: factor on all widths but the number of classes, for small tests.
        kernel_initializer: as in `nin`; None for the authors' normal distributions, std 0.01 in
            the convolutions of stages 1 and 3 and in the class maps, 0.05 in all others.
        name: the model's name.
        **kwargs: pools, dropout, scale_at_test, top, last_activation, classifier_activation,
            include_top, pooling, preprocessing, as in `nin`. Dropout stands
            once, after pool3. The authors subtract the mean of the training set from pixels in 0
            to 255.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: the paper has no net for ImageNet. From the zoo's: nothing.
    """
    wide, narrow = _normal(0.05), _normal(0.01)
    per_layer = ((narrow, wide, wide), wide, (narrow, wide, wide), (wide, wide, narrow))
    widths = ((96, 96, 96), (256, 256, 256), (384, 384, 384), (1024, 1024))
    return nin(
        input_shape,
        _scaled(widths, width, classes),
        (11, 5, 3, 3),
        strides=(4, 1, 1, 1),
        paddings=("valid", "same", "same", "same"),
        kernel_initializer=kernel_initializer or per_layer,
        name=name,
        **{"dropout": (None, None, 0.5), **kwargs},
    )


def _drop(x, rate, scale_at_test, stage):
    x = ScaledDropout(rate, scale=None, name=f"drop{stage}")(x)
    if scale_at_test:  # in training too, where it undoes the division
        x = keras.layers.Rescaling(1 - rate, name=f"scale{stage}")(x)
    return x


def _scaled(mlpconvs, width, classes):
    """The widths times `width`, with the class maps added to the last stage."""
    classes = whole("classes", classes)
    width = real("width", width, above=0)
    *stages, last = (tuple(max(1, round(width * n)) for n in widths) for widths in mlpconvs)
    return (*stages, (*last, classes))


def _normal(std):
    return keras.initializers.RandomNormal(0.0, std)


def _one_each(name, given, stages):
    """`given` if it is a sequence of that length, else `given` for each stage."""
    if not isinstance(given, (list, tuple)):
        return [given] * stages
    if len(given) != stages:
        raise ValueError(
            f"`{name}` must be one value or a sequence of {stages}. Received: {name}={given}"
        )
    return list(given)
