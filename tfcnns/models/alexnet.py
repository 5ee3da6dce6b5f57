"""AlexNet (Krizhevsky, Sutskever, Hinton 2012): five convolutions and three dense layers, split
over two towers that were two GPUs."""

import keras

from tfcnns.layers import (
    LRN,
    AnyBatchMaxPooling2D,
    CeilMaxPooling2D,
    EachTower,
    SameMapNorm,
    ScaledDropout,
    TowerConv,
    TowerDense,
    TowerLRN,
    check_devices,
)
from tfcnns.layers.hyperparameters import choice, flag, from_keras, real, whole
from tfcnns.models.image_input import image_input
from tfcnns.models.trunk import POOLINGS, trunk

ORDERS = ("paper", "code2012", "caffenet")
MIDDLE = ("conv3", "conv4", "conv5")

# Initial weights are normal; here are their standard deviations and the initial biases of
# conv1, conv2, conv3, conv4, conv5, fc6, fc7, fc8.
STDS = {
    "paper": (0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01),
    "code2012": (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
    "caffe": (0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01),
}
BIASES = {
    "paper": (0, 1, 0, 1, 1, 1, 1, 0),
    "code2012": (0, 1, 0, 1, 1, 1, 1, 0),
    "caffe": (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
}


def alexnet(
    input_shape=(227, 227, 3),
    classes=1000,
    towers=2,
    devices=None,
    activation="relu",
    lrn=True,
    lrn_across_towers=True,
    overlapping_pool=True,
    drop=(),
    half=False,
    order="paper",
    width=1.0,
    classifier_activation="softmax",
    *,
    include_top=True,
    pooling=None,
    same_map_norm=False,
    dropout=0.5,
    scale_at_test=False,
    initializers="paper",
    preprocessing=(),
    name="alexnet",
):
    """The paper's net for ImageNet, 60,965,224 parameters, and what the paper compares it with.

    Section 3.5 and figure 2. Validation error of one net on ILSVRC-2012: 40.7 % top-1, 18.2 %
    top-5, averaged over ten crops. Maps: 227 -> 55 -> 27 -> 13 -> 6. Inputs are pixels in 0 to 255
    minus the mean image of the training set.

    The net of the authors' 2012 code is `alexnet((224, 224, 3), lrn={"alpha": 2e-5},
    lrn_across_towers=False, same_map_norm=True, order="code2012", scale_at_test=True,
    initializers="code2012")`; Caffe's bvlc_alexnet is `alexnet(lrn={"alpha": 2e-5, "bias": 1.0},
    initializers="caffe")`, whose layers in order="caffenet" are CaffeNet's.

    Args:
        input_shape: (height, width, channels). Where windows of conv1 don't fit in whole, zeros
            are put right and below, as the 2012 code does: 3 pixels for 224, none for 227. Both
            give 55x55. Any other size works from 11 pixels on (without overlapping pools from 36,
            in the order of the code from 56).
        classes: number of classes.
        towers: 1 leaves out the split: 62,378,344 parameters.
        devices: None, or a device name for each tower, such as ("/GPU:0", "/GPU:1"): its weights
            and all its work, from conv1 to pool5 and in fc6 and fc7, are there. The towers meet
            in conv3 and before fc6, fc7 and fc8, and pass each other two maps in norm1 and norm2.
            The weights are those of the net on one device. Build the optimiser with
            `tfcnns.training.placement.build_optimizer`, or its slots lie elsewhere.
        activation: of conv1 to fc7; "tanh" for section 3.1's comparison.
        lrn: True for the constants of section 3.3, False for no LRN (top-1 + 1.4 %), or arguments
            for `LRN`. The 2012 code's alpha is {"alpha": 2e-5}: it divides 1e-4 by n = 5.
        lrn_across_towers: whether the window of LRN runs on from a tower's last channel to the
            next one's first, as the formula and Caffe have it. In the 2012 code it doesn't.
        overlapping_pool: False for pools of 2x2 with stride 2, section 3.4's comparison (top-1
            + 0.4 %), which keep the sizes of the maps: an odd last row and column are left out.
            The authors' run kept them, and padded conv2 by 1 and conv5 by 0 to end at 6x6 all the
            same: so with order="code2012".
        drop: which of "conv3", "conv4" and "conv5" to leave out (section 7: top-1 + 2 % for one).
            The others stay as they are; without conv3 the towers don't meet before fc6.
        half: True for the one-GPU net of section 3.2 (top-1 + 1.7 %), with one tower and half the
            kernels in conv1 to conv4: 59,798,312 parameters.
        order: of what follows conv1 and conv2. "paper": ReLU, LRN, pool; "code2012": the same but
            for LRN, pool, ReLU after conv1; "caffenet": ReLU, pool, LRN.
        width: factor on the filters and units of every layer but the last, for small tests,
            rounded to a whole number for each tower.
        classifier_activation: "softmax", or None for the logits.
        include_top: False ends the net after pool5.
        pooling: what becomes of pool5 then: None for its maps, "avg" or "max" for the mean or the
            maximum of each, as in keras.applications.
        same_map_norm: whether norm2 is followed by `SameMapNorm`, as in the 2012 code.
        dropout: fraction of fc6 and fc7 dropped in training.
        scale_at_test: how dropout keeps the mean. False: what is kept is divided by 1 - dropout in
            training, as in Keras and Caffe. True: outputs are multiplied by 1 - dropout at test,
            as in the paper. The two compute the same when the kernels of fc7 and fc8 are larger
            by 1 / (1 - dropout) in the second, but start and learn at different rates.
        initializers: "paper"; "code2012", with three times the deviation in conv3 to conv5;
            "caffe", with biases of 0.1 in the place of 1 and half the deviation in fc6 and fc7;
            or the name of a Keras initializer, with biases of 0, for nets of other sizes.
        preprocessing: layers applied to the input first, so that they are saved with it.
        name: the model's name.

    Returns:
        A functional `keras.Model`, (N, height, width, channels) -> (N, classes). Its layers are
        image, conv1, norm1, pool1, conv2, norm2, pool2, conv3, conv4, conv5, pool5, flatten, fc6,
        drop6, fc7, drop7, fc8, classifier. Variants add pad1 (zeros before conv1) and pad2,
        split1, merge1, split2, merge2 (LRN within towers), same_map_norm2, activation1 (after
        pool1), scale6 and scale7 (dropout). With `devices`, a list with a tensor for each tower
        passes between the layers from conv1 to pool5.

    Raises:
        ValueError: an argument outside what is said above, an input that is too small or of
            unknown size, `devices` for one tower only, under a tf.distribute strategy or
            (`MissingDevice`) that don't exist, and layers that the towers can't share evenly.

    Differs from the paper: the input is 227x227 (the text's 224x224 needs zeros that it doesn't
    mention); dropout is scaled in training unless `scale_at_test`; fc8, which lay on one of the
    GPUs, is not bound to a device. From the authors' code: the arguments above.
    """
    classes = whole("classes", classes)
    towers = whole("towers", towers)
    width = real("width", width, above=0)
    dropout = real("dropout", dropout, least=0, most=1)
    activation = from_keras("activation", activation)
    classifier_activation = from_keras("classifier_activation", classifier_activation)
    lrn = lrn if isinstance(lrn, dict) else flag("lrn", lrn)
    lrn_across_towers = flag("lrn_across_towers", lrn_across_towers)
    overlapping_pool = flag("overlapping_pool", overlapping_pool)
    half = flag("half", half)
    order = choice("order", order, ORDERS)
    include_top = flag("include_top", include_top)
    pooling = choice("pooling", pooling, POOLINGS)
    same_map_norm = flag("same_map_norm", same_map_norm)
    scale_at_test = flag("scale_at_test", scale_at_test)
    if not isinstance(drop, (tuple, list, set)) or not set(drop) <= set(MIDDLE):
        raise ValueError(f"`drop` must be a sequence of some of {MIDDLE}. Received: drop={drop!r}")
    smallest = 11 if overlapping_pool else 56 if order == "code2012" else 36
    if half and devices is not None:
        raise ValueError(
            "`half=True` is the net with one tower, and takes no `devices`. "
            f"Received: half={half}, devices={devices}"
        )
    check_devices(devices)
    if half:
        towers = 1
    filters = (48, 128, 192, 192, 256) if half else (96, 256, 384, 384, 256)
    starts = _starts(initializers)
    split = {"towers": towers, "devices": devices}

    def scaled(outputs):
        return outputs if width == 1 else max(1, round(width * outputs / towers)) * towers

    last = {"data_format": "channels_last"}  # whatever Keras is set to
    apart = {"joined": devices is None}  # a list of towers, each on its device

    def conv(x, n, kernel_size, **options):
        starting = {**starts[n - 1], **last}
        arguments = {"activation": activation, **split, **starting, **apart, **options}
        return TowerConv(scaled(filters[n - 1]), kernel_size, **arguments, name=f"conv{n}")(x)

    def each(layer, x, joined=False):
        if devices is None:
            return layer(x)
        return EachTower(layer, **split, joined=joined, name=layer.name)(x)

    def norm(x, n):
        if lrn is not False:
            constants = {**last, **({} if lrn is True else lrn), "name": f"norm{n}"}
            if devices is not None and lrn_across_towers:
                x = TowerLRN(**constants, **split, **apart)(x)
            elif lrn_across_towers or towers == 1 or devices is not None:
                x = each(LRN(**constants), x)
            else:  # an axis of its own for each tower's channels
                *_, height, width, channels = x.shape
                own = (height, width, towers, channels // towers)
                x = LRN(**constants)(keras.layers.Reshape(own, name=f"split{n}")(x))
                x = keras.layers.Reshape((height, width, channels), name=f"merge{n}")(x)
        if same_map_norm and n == 2:
            x = each(SameMapNorm(**last, name=f"same_map_norm{n}"), x)
        return x

    def pool(x, n):
        name = f"pool{n}"
        if overlapping_pool:
            layer = CeilMaxPooling2D(3, 2, **last, name=name)
        elif order == "code2012":
            layer = CeilMaxPooling2D(2, **last, name=name)
        else:
            layer = AnyBatchMaxPooling2D(2, data_format="channels_last", name=name)
        return each(layer, x, joined=n == 5)

    def norm_and_pool(x, n):
        return norm(pool(x, n), n) if order == "caffenet" else pool(norm(x, n), n)

    inputs, x = image_input(input_shape, preprocessing)  # (N, 227, 227, 3)
    size = x.shape[1:3]
    if len(x.shape) != 4 or None in size or min(size) < smallest:
        raise ValueError(
            f"The input must be at least {smallest} pixels high and wide, and of a known size. "
            f"Received: input_shape={input_shape}"
        )
    bottom, right = (-(pixels - 11) % 4 for pixels in size)
    if bottom or right:
        x = keras.layers.ZeroPadding2D(((0, bottom), (0, right)), **last, name="pad1")(x)
    linear = {"activation": None} if order == "code2012" else {}
    x = conv(x, 1, 11, strides=4, padding="valid", connected=True, **linear)  # (N, 55, 55, 96)
    x = norm_and_pool(x, 1)  # (N, 27, 27, 96)
    if linear:
        x = each(keras.layers.Activation(activation, name="activation1"), x)

    less_padding = order == "code2012" and not overlapping_pool
    if less_padding:
        x = each(keras.layers.ZeroPadding2D(1, **last, name="pad2"), x)
    x = conv(x, 2, 5, padding="valid" if less_padding else "same")  # (N, 27, 27, 256)
    x = norm_and_pool(x, 2)  # (N, 13, 13, 256)

    if "conv3" not in drop:
        x = conv(x, 3, 3, connected=True)  # (N, 13, 13, 384)
    if "conv4" not in drop:
        x = conv(x, 4, 3)  # (N, 13, 13, 384)
    if "conv5" not in drop:
        x = conv(x, 5, 3, padding="valid" if less_padding else "same")  # (N, 13, 13, 256)
    x = pool(x, 5)  # (N, 6, 6, 256)
    if not include_top:
        return trunk(inputs, x, pooling, name)

    x = keras.layers.Flatten(**last, name="flatten")(x)  # (N, 9216)
    for n in (6, 7):
        x = TowerDense(
            scaled(4096), activation=activation, **split, **starts[n - 1], name=f"fc{n}"
        )(x)  # (N, 4096)
        x = ScaledDropout(dropout, scale=None, name=f"drop{n}")(x)
        if scale_at_test:  # in training too, where it undoes the division
            x = keras.layers.Rescaling(1 - dropout, name=f"scale{n}")(x)
    x = keras.layers.Dense(classes, **starts[7], name="fc8")(x)  # (N, classes)
    outputs = keras.layers.Activation(classifier_activation, name="classifier", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def _starts(initializers):
    """For each of the eight layers its initializers, as arguments."""
    if initializers in STDS:
        kernels = [keras.initializers.RandomNormal(0.0, std) for std in STDS[initializers]]
        biases = [keras.initializers.Constant(bias) for bias in BIASES[initializers]]
    elif isinstance(initializers, str):
        kernels = [_named(initializers) for _ in range(8)]
        biases = ["zeros"] * 8
    else:
        raise _unknown(initializers)
    return [
        {"kernel_initializer": kernel, "bias_initializer": bias}
        for kernel, bias in zip(kernels, biases, strict=True)
    ]


def _named(initializers):
    try:
        return keras.initializers.get(initializers)
    except ValueError as error:
        raise _unknown(initializers) from error


def _unknown(initializers):
    return ValueError(
        f"`initializers` must be one of {tuple(STDS)} or the name of a Keras initializer. "
        f"Received: initializers={initializers!r}"
    )
