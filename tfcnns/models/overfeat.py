"""OverFeat (Sermanet et al. 2013): a classifier and a box regressor that slide over any image.

Every layer is a convolution or a pool, the "fully connected" ones included, so that one set of
weights takes a crop of one window or a whole image.
"""

from typing import NamedTuple

import keras

from tfcnns.layers import (
    AnyBatchConv2D,
    AnyBatchMaxPooling2D,
    BoxRegressor,
    ScaledDropout,
    threshold,
)
from tfcnns.layers.hyperparameters import choice, flag, from_keras, real, whole
from tfcnns.models.image_input import image_input
from tfcnns.models.trunk import POOLINGS, trunk

PADDINGS = ("same", "valid")
HEADS = ("classifier", "regressor", "both")


class _Net(NamedTuple):
    convs: tuple  # (filters, kernel, stride, side of the pool after it, or None) of each
    padded: int  # the first convolution that `padding` is about; those before it have none
    hidden: tuple  # (units, kernel) of each fully connected layer before the last
    regressor: tuple  # units of the box regressor's hidden layers
    channels: int
    classes: int
    initializer: dict


_GAUSSIAN = {"class_name": "RandomNormal", "config": {"stddev": 0.01}}  # section 3.1
_NETS = {
    "fast": _Net(  # table 1
        convs=(
            (96, 11, 4, 2),
            (256, 5, 1, 2),
            (512, 3, 1, None),
            (1024, 3, 1, None),
            (1024, 3, 1, 2),
        ),
        padded=3,
        hidden=((3072, 6), (4096, 1)),
        regressor=(4096, 1024),
        channels=3,
        classes=1000,
        initializer=_GAUSSIAN,
    ),
    "accurate": _Net(  # table 3
        convs=(
            (96, 7, 2, 3),
            (256, 7, 1, 2),
            (512, 3, 1, None),
            (512, 3, 1, None),
            (1024, 3, 1, None),
            (1024, 3, 1, 3),
        ),
        padded=3,
        hidden=((4096, 5), (4096, 1)),
        regressor=(4096, 1024),
        channels=3,
        classes=1000,
        initializer=_GAUSSIAN,
    ),
    "digits": _Net(
        convs=((32, 5, 1, 2), (64, 3, 1, 2), (96, 3, 1, None), (96, 3, 1, 2)),
        padded=3,
        hidden=((128, 3), (128, 1)),
        regressor=(256, 128),
        channels=1,
        classes=10,
        # Gaussian .01 is far too small for maps this narrow: nothing would arrive at the end.
        initializer={"class_name": "HeNormal", "config": {}},
    ),
}


def overfeat(
    variant="fast",
    classes=None,
    head="classifier",
    padding="same",
    classifier_activation="softmax",
    *,
    input_shape=None,
    width=1.0,
    activation="relu",
    dropout=0.5,
    boxes_per_class=False,
    include_top=True,
    pooling=None,
    kernel_initializer=None,
    preprocessing=(),
    name=None,
):
    """OverFeat as classifier, box regressor, or both on one trunk.

    Paper: tables 1 (fast) and 3 (accurate), section 4.2 and figure 8 (regressor).

    | variant    | window      | stride | last pool | parameters  | padding="valid" |
    |------------|-------------|--------|-----------|-------------|-----------------|
    | "fast"     | 231 x 231   | 32     | 2 x 2     | 145,920,872 | window 327      |
    | "accurate" | 221 x 221   | 36     | 3 x 3     | 144,656,488 | window 317      |
    | "digits"   | 32 x 32     | 8      | 2 x 2     | 286,282     | window 48       |

    Stride: pixels between the windows of neighbouring outputs; pooling at every offset of the
    last pool (`tfcnns.layers.OffsetMaxPool`) divides it by the pool's side. Parameters are those
    of the classifier. "digits" isn't in the paper: a small net of the same form, for grey scenes
    of 36 to 96 pixels.

    Args:
        variant: "fast", "accurate" or "digits".
        classes: number of classes; None for 1000, "digits" 10. Detection adds the background.
        head: "classifier", "regressor" or "both".
        padding: "same" pads the 3x3 convolutions from conv3 on with zeros, as in both published
            nets: a window alone sees zeros where a dense pass sees its neighbours. "valid" pads
            nothing, so that a dense pass equals its windows one by one; the weights' shapes are
            the same, the windows larger.
        classifier_activation: "softmax" (over the classes, at each position), or None for the
            scores themselves.
        input_shape: (height, width, channels); height and width may be None, for images of any
            size from the window up. None for (None, None, 3), "digits" (None, None, 1).
        width: factor on the width of every layer but the outputs.
        activation: after every convolution but the last; "threshold" takes the released nets'
            `tfcnns.layers.threshold`.
        dropout: fraction dropped after each hidden fully connected layer of the classifier.
        boxes_per_class: False for one regressor shared by all classes, which won in the paper;
            True for a last layer with a box of each class.
        include_top: False ends the net after the last pool, whatever `head` says: the trunk.
        pooling: of that pool's maps then: None, "avg" or "max", as in keras.applications.
        kernel_initializer: of all kernels; None for the paper's Gaussian of deviation .01,
            "digits" He's. The paper's is a flat start: outputs hardly depend on the image, and
            the fast net did not train from it at the paper's rate within some hundred steps;
            from "he_normal" at a hundredth of the rate it did (docs/overfeat.md).
        preprocessing: layers applied to the input first, so that they are saved with it;
            `overfeat_preprocessing()` has the released nets'.
        name: the model's name; None for overfeat_VARIANT.

    Returns:
        A functional `keras.Model`. Its layers are conv1, pool1, conv2, pool2, conv3, ..., the
        last pool, named after the convolution before it (fast: pool5, accurate: pool6, digits:
        pool4), then, numbered on,

        - classifier (fast: fc6, drop6, fc7, drop7, fc8; accurate: fc7 to fc9; digits: fc5 to
          fc7; then classifier): (N, H, W, C) -> (N, h, w, classes), (N, 1, 1, classes) for one
          window,
        - regressor (regressor, then boxes): (N, H, W, C) -> (N, h, w, 4), or (..., classes, 4)
          per class: edges x0, y0, x1, y1 in units of the window, from its top left corner,
        - both: a dict with the keys "classifier" and "boxes".

        Layers of equal name have equal shapes with every head and padding, so that weights move
        from a classifier to the trunk of a regressor.

    Raises:
        ValueError: for an argument outside what is said above, and an `input_shape` below the
            window.

    Differs from the paper:
        - Dense layers are convolutions, in training too: 6x6 (fast) and 5x5 without padding, then
          1x1. The equation is that of the paper's dense layers on one window.
        - The accurate net has six feature layers and a classifier of layers 7 to 9 (table 3), where
          the text counts five, and 6 to 8.
        - The last convolution has 1024 maps, as in the tables and the released weights; the
          captions of table 5 and figure 8 give the regressor 256.
        - Table 1 has 24 as the second layer's spatial input, which is its convolution's output:
          the input is 28. Table 5 has maps of 32x35 for its fifth image, 425x497: they are 32x38.
        - Windows are 231 (fast) and 221 pixels, where the text has crops of 221. Stride 2 in the
          first layer, "instead of 4", is the accurate net's alone.
        - Offsets 0, 1, 2 suit the 3x3 pool of the accurate net. The fast net's pool is 2x2, its
          offsets 0 and 1; what its "fine stride" of table 2 was isn't said.
        - The regressor's edges are in units of the window; the text leaves the unit open. Its
          layers start as the classifier's do, and have no dropout.
        - `activation="threshold"` and `overfeat_preprocessing`, of the release, "digits",
          padding="valid", width and boxes over an unpadded trunk are not in the paper.
    """
    net = _NETS[choice("variant", variant, tuple(_NETS))]
    head = choice("head", head, HEADS)
    padding = choice("padding", padding, PADDINGS)
    width = real("width", width, above=0)
    dropout = real("dropout", dropout, least=0, most=1)
    boxes_per_class = flag("boxes_per_class", boxes_per_class)
    include_top = flag("include_top", include_top)
    pooling = choice("pooling", pooling, POOLINGS)
    classifier_activation = from_keras("classifier_activation", classifier_activation)
    activation = from_keras("activation", threshold if activation == "threshold" else activation)
    classes = net.classes if classes is None else whole("classes", classes)
    input_shape = (None, None, net.channels) if input_shape is None else input_shape
    inputs, x = image_input(input_shape, preprocessing)  # (N, H, W, C)
    side = _window(net, padding)
    if any(size is not None and size < side for size in inputs.shape[1:3]):
        raise ValueError(
            f'"{variant}" with padding="{padding}" sees windows of {side} x {side} pixels and '
            f"needs an image of that size or more. Received: input_shape={input_shape}"
        )
    if kernel_initializer is None:
        kernel_initializer = net.initializer
    initializer = from_keras("kernel_initializer", kernel_initializer)

    last = {"data_format": "channels_last"}  # whatever Keras is set to

    def conv(units, kernel, **kwargs):
        kwargs = {**kwargs, "kernel_initializer": _own(initializer), **last}
        return AnyBatchConv2D(units, kernel, **kwargs)

    def scaled(units):
        return max(1, round(width * units))

    for i, (filters, kernel, strides, pool) in enumerate(net.convs, start=1):
        pad = padding if i >= net.padded else "valid"
        x = conv(
            scaled(filters),
            kernel,
            strides=strides,
            padding=pad,
            activation=activation,
            name=f"conv{i}",
        )(x)
        if pool:
            x = AnyBatchMaxPooling2D(pool, **last, name=f"pool{i}")(x)
    name = name or f"overfeat_{variant}"
    if not include_top:
        return trunk(inputs, x, pooling, name)
    pooled = x  # (N, h + kernel - 1, w + kernel - 1, filters), with fc's first kernel

    outputs = {}
    if head != "regressor":
        for i, (units, kernel) in enumerate(net.hidden, start=len(net.convs) + 1):
            x = conv(scaled(units), kernel, activation=activation, name=f"fc{i}")(x)
            x = ScaledDropout(dropout, scale=None, name=f"drop{i}")(x)
        x = conv(classes, 1, name=f"fc{i + 1}")(x)  # (N, h, w, classes)
        outputs["classifier"] = keras.layers.Activation(
            classifier_activation, name="classifier", dtype="float32"
        )(x)
    if head != "classifier":
        boxes = BoxRegressor(
            tuple(scaled(units) for units in net.regressor),
            classes=classes if boxes_per_class else None,
            window=net.hidden[0][1],
            activation=activation,
            kernel_initializer=_own(initializer),
            name="regressor",
        )(pooled)  # (N, h, w, 4) or (N, h, w, classes, 4)
        outputs["boxes"] = keras.layers.Activation(None, name="boxes", dtype="float32")(boxes)
    if len(outputs) == 1:
        (outputs,) = outputs.values()
    return keras.Model(inputs, outputs, name=name)


def _own(initializer):
    """A fresh initializer: one that is used twice gives layers of equal shape equal values."""
    initializer = keras.initializers.get(initializer)
    seed = getattr(initializer, "get_config", dict)().get("seed", 0)
    return initializer.clone() if seed is None else initializer


def _window(net, padding):
    """The side of what one output sees, without the zeros around it: from the last layer back."""
    side = net.hidden[0][1]
    for i, (_, kernel, stride, pool) in reversed(list(enumerate(net.convs, start=1))):
        side *= pool or 1
        if padding == "valid" or i < net.padded:
            side = (side - 1) * stride + kernel
    return side
