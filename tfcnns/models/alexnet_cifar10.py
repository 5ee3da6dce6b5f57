"""The nets for CIFAR-10 that AlexNet's paper quotes, as their author's cuda-convnet has them."""

import keras

from tfcnns.layers import (
    LRN,
    AnyBatchConv2D,
    CeilAveragePooling2D,
    CeilMaxPooling2D,
    LocalConv,
    SameMapNorm,
)
from tfcnns.layers.hyperparameters import choice, flag, from_keras, real, whole
from tfcnns.models.image_input import image_input
from tfcnns.models.trunk import POOLINGS, trunk

NETS = ("18pct", "13pct", "11pct")


def alexnet_cifar10(
    net="11pct",
    activation="relu",
    lrn=None,
    *,
    input_shape=None,
    classes=10,
    width=1.0,
    classifier_activation="softmax",
    include_top=True,
    pooling=None,
    preprocessing=(),
    name=None,
):
    """The nets of AlexNet's claims on CIFAR-10: ReLU against tanh, and with LRN against without.

    Paper: section 3.3 quotes "a four-layer CNN" with 13 % test error, 11 % with response
    normalisation, and cuda-convnet for the details. There they are layers-conv-local-13pct.cfg and
    -11pct.cfg: two convolutions and two locally connected layers, whose kernels differ from
    position to position, then the classifier. Section 3.1, figure 1, trains "a four-layer
    convolutional network" with either activation, not saying which; layers-18pct.cfg, with three
    convolutions and a dense layer, is the one with four layers, the classifier counted.

    | net     | input   | parameters | maps                              |
    |---------|---------|------------|-----------------------------------|
    | "11pct" | 24 x 24 | 2,112,970  | 64, 64, 64 (local), 32 (local)    |
    | "13pct" | 24 x 24 | 1,116,490  | 64, 64, 32 (local), 32 (local)    |
    | "18pct" | 32 x 32 | 89,578     | 32, 32, 64                        |

    Args:
        net: "11pct", "13pct" or "18pct", named after its error on the test images.
        activation: of every layer but the last; "tanh" for section 3.1's comparison.
        lrn: whether there is response normalisation: `LRN` over 9 maps after pool1 and conv2, in
            "18pct" `SameMapNorm` over 3x3 pixels after pool1 and pool2. None: as in the net's
            file, which is yes but for "13pct". "13pct" with it and "11pct" without it differ from
            their files in nothing else.
        input_shape: (height, width, channels), all known; None for the table's, with 3 channels.
        classes: number of classes.
        width: factor on the number of maps, for small tests.
        classifier_activation: "softmax", or None for the logits.
        include_top: False ends the net after local4 ("18pct": pool3).
        pooling: of the last maps then: None, "avg" or "max", as in keras.applications.
        preprocessing: layers applied to the input first, so that they are saved with it.
        name: the model's name; None for alexnet_cifar10_NET.

    Returns:
        A functional `keras.Model`, (N, height, width, channels) -> (N, classes). Its layers are
        image, conv1, pool1, norm1, conv2, then norm2, pool2, local3, local4 ("18pct": pool2, norm2,
        conv3, pool3), flatten, fc10, classifier. Inputs are pixels in 0 to 255 minus the mean
        image of the training set.

    Raises:
        ValueError: an argument outside what is said above.

    Differs from the paper: nothing that it tells. From the authors' files: in "18pct" the ReLU
    comes before the first max-pool, not after it, which gives the same.
    """
    net = choice("net", net, NETS)
    activation = from_keras("activation", activation)
    classes = whole("classes", classes)
    width = real("width", width, above=0)
    classifier_activation = from_keras("classifier_activation", classifier_activation)
    include_top = flag("include_top", include_top)
    pooling = choice("pooling", pooling, POOLINGS)
    small = net == "18pct"
    lrn = net != "13pct" if lrn is None else flag("lrn", lrn)
    last = {"data_format": "channels_last"}  # whatever Keras is set to
    if input_shape is None:
        input_shape = (32, 32, 3) if small else (24, 24, 3)

    def normal(std):
        return keras.initializers.RandomNormal(0.0, std)

    def conv(x, n, maps, std):
        arguments = {"padding": "same", "activation": activation, "kernel_initializer": normal(std)}
        return AnyBatchConv2D(scaled(maps), 5, **arguments, **last, name=f"conv{n}")(x)

    def local(x, n, maps):
        arguments = {"activation": activation, "kernel_initializer": normal(0.04)}
        return LocalConv(scaled(maps), 3, **arguments, **last, name=f"local{n}")(x)

    def norm(x, n):
        if not lrn:
            return x
        if small:
            return SameMapNorm(3, scale=5e-5, power=0.75, **last, name=f"norm{n}")(x)
        return LRN(4, bias=1.0, alpha=0.001 / 9, beta=0.75, **last, name=f"norm{n}")(x)

    def scaled(maps):
        return max(1, round(width * maps))

    inputs, x = image_input(input_shape, preprocessing)  # (N, 24, 24, 3)
    x = conv(x, 1, 32 if small else 64, 1e-4)  # (N, 24, 24, 64)
    x = CeilMaxPooling2D(3, 2, **last, name="pool1")(x)  # (N, 12, 12, 64)
    x = norm(x, 1)
    x = conv(x, 2, 32 if small else 64, 0.01)  # (N, 12, 12, 64)
    if small:
        x = CeilAveragePooling2D(3, 2, **last, name="pool2")(x)
        x = norm(x, 2)
        x = conv(x, 3, 64, 0.01)
        x = CeilAveragePooling2D(3, 2, **last, name="pool3")(x)  # (N, 4, 4, 64)
    else:
        x = norm(x, 2)
        x = CeilMaxPooling2D(3, 2, **last, name="pool2")(x)  # (N, 6, 6, 64)
        x = local(x, 3, 64 if net == "11pct" else 32)  # (N, 6, 6, 64)
        x = local(x, 4, 32)  # (N, 6, 6, 32)
    name = name or f"alexnet_cifar10_{net}"
    if not include_top:
        return trunk(inputs, x, pooling, name)
    x = keras.layers.Flatten(**last, name="flatten")(x)
    x = keras.layers.Dense(classes, kernel_initializer=normal(0.01), name="fc10")(x)  # (N, classes)
    outputs = keras.layers.Activation(classifier_activation, name="classifier", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)
