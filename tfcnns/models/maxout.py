"""Maxout networks (Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013).

Convolutional maxout and max-pooling, then dense maxout, then a softmax. Dropout masks the input
of every layer that has weights, right before the weights; the inputs of a max are never dropped.
"""

from typing import NamedTuple

import keras

from tfcnns.layers import CeilMaxPooling2D, MaxoutConv, MaxoutDense, ScaledDropout
from tfcnns.layers.hyperparameters import choice, flag, from_keras, real, whole
from tfcnns.models.image_input import image_input
from tfcnns.models.trunk import POOLINGS, trunk


class Conv(NamedTuple):
    """A layer of convolutional maxout and the max-pooling after it; sizes in pixels."""

    filters: int
    pieces: int
    kernel: int
    pad: int  # zeros on each side of the input
    pool: int
    stride: int  # of the pooling
    norm: float = 1.9365  # bound on the L2 norm of the kernel behind each piece


class Dense(NamedTuple):
    """A layer of dense maxout."""

    units: int
    pieces: int
    norm: float = 1.9365  # bound on the L2 norm of the weights into each piece


def maxout(
    input_shape,
    convs,
    dense,
    classes,
    *,
    width=1.0,
    untied_bias=False,
    input_dropout=0.2,
    dropout=0.5,
    irange=0.005,
    classifier_activation="softmax",
    include_top=True,
    pooling=None,
    preprocessing=(),
    name="maxout",
):
    """A maxout network of any depth: convolutions and pools, dense layers, softmax.

    Paper: sections 3 and 5. Numbers that it leaves out are those of the authors' files for
    pylearn2, whose pooling keeps the partial windows at the right and bottom edges.

    Args:
        input_shape: (height, width, channels), all known; with no `convs` any shape.
        convs: `Conv`s or equal tuples (filters, pieces, kernel, pad, pool, stride, norm).
        dense: `Dense`s or equal tuples (units, pieces, norm).
        classes: number of classes.
        width: factor on the filters of `convs` and the units of `dense`, for small tests.
        untied_bias: whether convolutions have a bias of their own at each position.
        input_dropout: fraction of the input dropped in training. The rest is not scaled up:
            see `ScaledDropout`.
        dropout: fraction dropped of the input of every other layer with weights, where the rest
            is divided by 1 - dropout.
        irange: weights start uniform between -irange and irange, biases at 0.
        classifier_activation: "softmax", or None for the logits.
        include_top: False ends the net after the last pool, or with no `convs` after the last
            dense layer.
        pooling: of the last pool's maps then: None, "avg" or "max", as in keras.applications.
        preprocessing: layers applied to the input first, so that they are saved with it.
        name: the model's name.

    Returns:
        A functional `keras.Model`, (N, *input_shape) -> (N, classes). Its layers are drop0 on the
        image; pad1 (unless 0), conv1, pool1, drop1, ...; flatten; fc (or fc1, fc2, ...), each with
        a drop of the next number; softmax. In the authors' files conv1, ..., fc are h0, h1, ...,
        and softmax is y. Kernels have `keras.constraints.MaxNorm`s, applied after each update.

    Raises:
        ValueError: an argument outside what is said above, and an input too small for the
            kernels.

    Differs from the paper: nothing, with the authors' tables.
    """
    classes = whole("classes", classes)
    width = real("width", width, above=0)
    input_dropout = real("input_dropout", input_dropout, least=0, most=1)
    dropout = real("dropout", dropout, least=0, most=1)
    irange = real("irange", irange, least=0)
    classifier_activation = from_keras("classifier_activation", classifier_activation)
    include_top = flag("include_top", include_top)
    pooling = choice("pooling", pooling, POOLINGS)
    last = {"data_format": "channels_last"}  # whatever Keras is set to

    def uniform():  # one instance a layer: an instance repeats its values
        return keras.initializers.RandomUniform(-irange, irange)

    inputs, x = image_input(input_shape, preprocessing, images=bool(convs))  # (N, H, W, C)
    features = x
    x = ScaledDropout(input_dropout, name="drop0")(x)

    # What follows a pool or a dense layer is always the next layer's weights: drop their input.
    for i, conv in enumerate((Conv(*conv) for conv in convs), start=1):
        if conv.pad:
            x = keras.layers.ZeroPadding2D(conv.pad, **last, name=f"pad{i}")(x)
        x = MaxoutConv(
            max(1, round(width * conv.filters)),
            conv.kernel,
            conv.pieces,
            untied_bias=untied_bias,
            **last,
            kernel_initializer=uniform(),
            kernel_constraint=keras.constraints.MaxNorm(conv.norm, axis=[0, 1, 2]),
            name=f"conv{i}",
        )(x)
        features = CeilMaxPooling2D(conv.pool, conv.stride, **last, name=f"pool{i}")(x)
        x = ScaledDropout(dropout, scale=None, name=f"drop{i}")(features)  # (N, h, w, filters)
    if convs and not include_top:
        return trunk(inputs, features, pooling, name)

    x = keras.layers.Flatten(**last, name="flatten")(x)  # (N, h * w * filters)
    for i, fc in enumerate((Dense(*fc) for fc in dense), start=1):
        features = MaxoutDense(
            max(1, round(width * fc.units)),
            fc.pieces,
            kernel_initializer=uniform(),
            kernel_constraint=keras.constraints.MaxNorm(fc.norm, axis=0),
            name=f"fc{i}" if len(dense) > 1 else "fc",
        )(x)  # (N, units)
        x = ScaledDropout(dropout, scale=None, name=f"drop{len(convs) + i}")(features)
    if not include_top:
        return trunk(inputs, features, pooling, name)

    outputs = keras.layers.Dense(
        classes,
        activation=classifier_activation,
        kernel_initializer=uniform(),
        kernel_constraint=keras.constraints.MaxNorm(1.9365, axis=0),
        dtype="float32",
        name="softmax",
    )(x)  # (N, classes)
    return keras.Model(inputs, outputs, name=name)


def maxout_mnist_pi(input_shape=(28, 28, 1), classes=10, *, name="maxout_mnist_pi", **kwargs):
    """The net of the permutation invariant MNIST: two dense layers, 1,233,610 parameters.

    Section 5.1, where its test error is 0.94 %. "Permutation invariant" means that it knows
    nothing of which pixels are neighbours.

    Args:
        input_shape: of one image; any, as it is flattened.
        classes: number of classes.
        name: the model's name.
        **kwargs: width, input_dropout, dropout, irange, classifier_activation, include_top,
            pooling, preprocessing, as in `maxout`. The paper's pixels are in [0, 1].

    Returns:
        A `keras.Model`, (N, *input_shape) -> (N, classes).

    Differs from the paper: nothing; widths, norms and initial weights are those of the authors'
    mnist_pi.yaml.
    """
    dense = (Dense(240, 5), Dense(240, 5))
    return maxout(input_shape, (), dense, classes, name=name, **kwargs)


def maxout_mnist(
    input_shape=(28, 28, 1), classes=10, *, untied_bias=True, name="maxout_mnist", **kwargs
):
    """The convolutional net for MNIST, 471,994 parameters.

    Section 5.1, where its test error is 0.45 %. Maps: 28 -> 21 -> 10 -> 9 -> 4 -> 6 -> 3.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        untied_bias: a bias for every map and position, as in the authors' file; False gives one
            a map, and 418,714 parameters.
        name: the model's name.
        **kwargs: width, input_dropout, dropout, irange, classifier_activation, include_top,
            pooling, preprocessing, as in `maxout`. The paper's pixels are in [0, 1].

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: nothing; sizes, norms and biases are those of the authors' mnist.yaml.
    """
    convs = (
        Conv(48, 2, kernel=8, pad=0, pool=4, stride=2, norm=0.9),
        Conv(48, 2, kernel=8, pad=3, pool=4, stride=2),
        Conv(24, 4, kernel=5, pad=3, pool=2, stride=2),
    )
    return maxout(input_shape, convs, (), classes, untied_bias=untied_bias, name=name, **kwargs)


CIFAR_CONVS = (
    Conv(96, 2, kernel=8, pad=4, pool=4, stride=2, norm=0.9),
    Conv(192, 2, kernel=8, pad=3, pool=4, stride=2),
    Conv(192, 2, kernel=5, pad=3, pool=2, stride=2),
)
CIFAR_DENSE = (Dense(500, 5, norm=1.9),)


def maxout_cifar10(input_shape=(32, 32, 3), classes=10, *, name="maxout_cifar10", **kwargs):
    """The net for CIFAR-10, with and without augmentation: 16,247,830 parameters.

    Section 5.2, where its test error is 11.68 %, and 9.38 % with shifts and flips. Maps:
    32 -> 33 -> 16 -> 15 -> 7 -> 9 -> 5.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        name: the model's name.
        **kwargs: width, untied_bias, input_dropout, dropout, irange, classifier_activation,
            include_top, pooling, preprocessing, as in `maxout`. The paper's preprocessing is
            `GlobalContrastNormalization` (norm 55), then `ZCAWhitening`; shifts and flips act on
            images that are whitened already, so that with them it belongs before the model.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: nothing; sizes and norms are those of the authors' cifar10.yaml and
    cifar10_no_aug.yaml. The smaller net of the paper's first version is not here.
    """
    return maxout(input_shape, CIFAR_CONVS, CIFAR_DENSE, classes, name=name, **kwargs)


def maxout_cifar100(input_shape=(32, 32, 3), classes=100, *, name="maxout_cifar100", **kwargs):
    """The net for CIFAR-100: that for CIFAR-10 with 100 classes, 16,292,920 parameters.

    Section 5.3, where its test error is 38.57 %. Maps and preprocessing as for CIFAR-10.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        name: the model's name.
        **kwargs: as in `maxout_cifar10`.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: the authors never published the file of this net. Two of three that
    survive have this net but name no dropout rates, which drops half of the image, scaled by 2; the
    third has a smaller net with the rates that are the default here.
    """
    return maxout(input_shape, CIFAR_CONVS, CIFAR_DENSE, classes, name=name, **kwargs)


def maxout_svhn(input_shape=(32, 32, 3), classes=10, *, name="maxout_svhn", **kwargs):
    """The net for street view house numbers, 10,461,050 parameters.

    Section 5.4, where its test error is 2.47 %. Maps: 32 -> 36 -> 18 -> 20 -> 10 -> 12 -> 6.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        name: the model's name.
        **kwargs: width, untied_bias, input_dropout, dropout, irange, classifier_activation,
            include_top, pooling, preprocessing, as in `maxout`. The paper's preprocessing is
            `GlobalContrastNormalization(1)`, then `LocalContrastNormalization`.

    Returns:
        A `keras.Model`, (N, height, width, channels) -> (N, classes).

    Differs from the paper: nothing; sizes and norms are those of the authors' svhn.yaml.
    """
    convs = (
        Conv(64, 2, kernel=5, pad=4, pool=3, stride=2, norm=0.9),
        Conv(128, 2, kernel=5, pad=3, pool=3, stride=2),
        Conv(128, 2, kernel=5, pad=3, pool=3, stride=2),
    )
    return maxout(input_shape, convs, (Dense(400, 5, norm=1.9),), classes, name=name, **kwargs)
