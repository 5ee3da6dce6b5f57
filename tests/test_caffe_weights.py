"""Caffe's weights in our nets: number by number, and against torch doing what Caffe does."""

import functools
import math

import keras
import numpy as np
import pytest
from caffe_files import caffemodel

from tfcnns.errors import UserError
from tfcnns.models import (
    alexnet,
    caffe_preprocessing,
    load_caffe_weights,
    maxout_mnist_pi,
    nin_cifar10,
    nin_imagenet,
    overfeat,
)

ALEXNET = {  # bvlc_alexnet and CaffeNet
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (4096, 9216),
    "fc7": (4096, 4096),
    "fc8": (1000, 4096),
}
NARROW_ALEXNET = {  # a tenth, and images of 99 x 131, whose last maps are 2 x 3
    "conv1": (10, 3, 11, 11),
    "conv2": (26, 5, 5, 5),
    "conv3": (38, 26, 3, 3),
    "conv4": (38, 19, 3, 3),
    "conv5": (26, 19, 3, 3),
    "fc6": (410, 26 * 2 * 3),
    "fc7": (410, 410),
    "fc8": (7, 410),
}
NIN_IMAGENET = {
    "conv1": (96, 3, 11, 11),
    "cccp1": (96, 96, 1, 1),
    "cccp2": (96, 96, 1, 1),
    "conv2": (256, 96, 5, 5),
    "cccp3": (256, 256, 1, 1),
    "cccp4": (256, 256, 1, 1),
    "conv3": (384, 256, 3, 3),
    "cccp5": (384, 384, 1, 1),
    "cccp6": (384, 384, 1, 1),
    "conv4-1024": (1024, 384, 3, 3),
    "cccp7-1024": (1024, 1024, 1, 1),
    "cccp8-1024": (1000, 1024, 1, 1),
}
NIN_CIFAR10 = {
    "conv1": (192, 3, 5, 5),
    "cccp1": (160, 192, 1, 1),
    "cccp2": (96, 160, 1, 1),
    "conv2": (192, 96, 5, 5),
    "cccp3": (192, 192, 1, 1),
    "cccp4": (192, 192, 1, 1),
    "conv3": (192, 192, 3, 3),
    "cccp5": (192, 192, 1, 1),
    "cccp6": (10, 192, 1, 1),
}


def narrowed(shapes, factor, classes):
    """The shapes of a NIN with all widths times `factor`."""
    *_, last = shapes

    def scale(n):
        return n if n == 3 else round(n * factor)

    return {
        name: (classes if name == last else scale(out), scale(seen), *window)
        for name, (out, seen, *window) in shapes.items()
    }


def random_blobs(shapes):
    rng = np.random.default_rng(0)
    return {
        name: [
            rng.normal(scale=math.sqrt(2 / math.prod(shape[1:])), size=shape).astype("float32"),
            rng.normal(scale=0.1, size=shape[0]).astype("float32"),
        ]
        for name, shape in shapes.items()
    }


def narrow_alexnet(**kwargs):
    return alexnet(**{"input_shape": (99, 131, 3), "classes": 7, "width": 0.1, **kwargs})


@functools.cache
def narrow_blobs():
    return random_blobs(NARROW_ALEXNET)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.caffemodel"


def places(shape):
    """Some indices of an array of that shape."""
    return np.random.default_rng(1).integers(0, shape, (200, len(shape)))


@pytest.mark.parametrize("channel_order", ["bgr", "rgb"])
@pytest.mark.parametrize("generation", ["layer", "layers", "V0"])
def test_every_number_of_alexnet_has_its_place(path, generation, channel_order):
    blobs = narrow_blobs()
    path.write_bytes(caffemodel(blobs, generation))
    model = narrow_alexnet()
    load_caffe_weights(model, path, channel_order)
    for name, (weights, biases) in blobs.items():
        layer = model.get_layer(name)
        towers = {"c": "convs", "f": "denses"}[name[0]]
        layers = getattr(layer, towers) if hasattr(layer, towers) else [layer]
        share = len(biases) // len(layers)
        for o, i, *window in places(weights.shape):
            kernel = layers[o // share].kernel
            if name == "conv1" and channel_order == "bgr":
                value = kernel[(*window, 2 - i, o % share)]
            elif name == "fc6":
                channel, row, column = i // 6, i // 3 % 2, i % 3
                value = kernel[(row * 3 + column) * 26 + channel, o % share]
            else:
                value = kernel[(*window, i, o % share)]
            assert value == weights[(o, i, *window)]
        np.testing.assert_array_equal(np.concatenate([each.bias for each in layers]), biases)


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (functools.partial(nin_cifar10, width=0.125), narrowed(NIN_CIFAR10, 0.125, 10)),
        (functools.partial(nin_imagenet, width=0.0625), narrowed(NIN_IMAGENET, 0.0625, 1000)),
    ],
    ids=["cifar10", "imagenet"],
)
def test_every_number_of_nin_has_its_place(path, build, shapes):
    blobs = random_blobs(shapes)
    path.write_bytes(caffemodel(blobs, "layers", double=True))
    model = build()
    load_caffe_weights(model, path, channel_order="rgb")
    convs = [conv for layer in model.layers for conv in getattr(layer, "convs", [])]
    for conv, (weights, biases) in zip(convs, blobs.values(), strict=True):
        kernel = np.asarray(conv.kernel)
        for o, i, row, column in places(weights.shape):
            assert kernel[row, column, i, o] == weights[o, i, row, column]
        np.testing.assert_array_equal(conv.bias, biases)


@pytest.mark.parametrize(
    ("build", "shapes", "parameters"),
    [
        (alexnet, ALEXNET, 60_965_224),
        (nin_imagenet, NIN_IMAGENET, 7_595_176),
        (nin_cifar10, NIN_CIFAR10, 966_986),
    ],
)
def test_the_zoos_shapes_fit(path, build, shapes, parameters):
    """Files of zeros, of the sizes of the real ones."""
    assert sum(math.prod(shape) + shape[0] for shape in shapes.values()) == parameters
    net = b""
    for name, shape in shapes.items():
        layer = b"\x22" + bytes([len(name)]) + name.encode()
        for sizes in (shape if len(shape) == 4 else (1, 1, *shape), (1, 1, 1, shape[0])):
            blob = b"".join(varint(8 * field) + varint(n) for field, n in enumerate(sizes, 1))
            numbers = bytes(4 * math.prod(sizes))
            blob += b"\x2a" + varint(len(numbers)) + numbers
            layer += b"\x32" + varint(len(blob)) + blob
        net += b"\x12" + varint(len(layer)) + layer
    path.write_bytes(net)
    kwargs = {"initializers": "ones"} if build is alexnet else {"kernel_initializer": "ones"}
    model = build(**kwargs)
    load_caffe_weights(model, path)
    assert not any(np.any(weight) for weight in model.get_weights())


def varint(value):
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def test_other_nets_of_the_same_form(path):
    blobs = dict(narrow_blobs())
    del blobs["conv3"], blobs["conv5"]
    blobs["conv4"] = random_blobs({"conv4": (38, 13, 3, 3)})["conv4"]
    blobs["fc6"] = random_blobs({"fc6": (410, 38 * 2 * 3)})["fc6"]
    path.write_bytes(caffemodel(blobs))
    model = narrow_alexnet(drop=("conv3", "conv5"), lrn_across_towers=False)
    load_caffe_weights(model, path)
    dense = model.get_layer("fc7").denses[1].kernel
    np.testing.assert_array_equal(dense, blobs["fc7"][0][205:].T)


def test_grouped_weights_are_not_those_of_one_tower(path):
    path.write_bytes(caffemodel(narrow_blobs()))
    refused(
        narrow_alexnet(towers=1),
        path,
        r"layer conv2 has \(26, 5, 5, 5\) and \(26,\), expected \(26, 10, 5, 5\) and \(26,\)",
    )


def test_preprocessing_takes_caffes_mean_off():
    pixels = np.array([[[[122.67891434, 116.66876762, 104.00698793], [0, 0, 255]]]], "float32")
    (layer,) = caffe_preprocessing()
    expected = [[[[0, 0, 0], [-122.67891434, -116.66876762, 150.99301207]]]]
    np.testing.assert_allclose(layer(pixels), expected, atol=1e-4)
    again = keras.layers.Rescaling.from_config(layer.get_config())
    np.testing.assert_array_equal(again(pixels), layer(pixels))


def refused(model, path, message):
    """`path` is refused in one line, and the model's weights are as they were."""
    before = model.get_weights()
    with pytest.raises(UserError, match=message) as caught:
        load_caffe_weights(model, path)
    assert "\n" not in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_refuses_files_without_a_layer(path):
    blobs = dict(narrow_blobs())
    del blobs["fc8"]
    path.write_bytes(caffemodel(blobs))
    refused(narrow_alexnet(), path, f"{path} lacks layer fc8 of model alexnet")


def test_refuses_files_with_a_layer_too_many(path):
    path.write_bytes(
        caffemodel({**narrow_blobs(), **random_blobs({"fc9": (3, 7), "fc10": (2, 3)})})
    )
    refused(narrow_alexnet(), path, f"{path} has layers that model alexnet lacks: fc9, fc10")


def test_refuses_a_cut_off_file(path):
    data = caffemodel(narrow_blobs())
    for length in (len(data) - 1, len(data) // 2, 100):
        path.write_bytes(data[:length])
        refused(narrow_alexnet(), path, f"{path} is cut off, damaged or no .caffemodel|lacks layer")


@pytest.mark.parametrize(
    "wrong", [(38, 27, 3, 3), (37, 26, 3, 3), (38, 26, 3, 1), (38, 26)], ids=str
)
def test_refuses_other_shapes(path, wrong):
    path.write_bytes(caffemodel({**narrow_blobs(), **random_blobs({"conv3": wrong})}))
    refused(
        narrow_alexnet(), path, rf"{path} doesn't fit model alexnet: layer conv3 has \({wrong[0]}"
    )


def test_refuses_missing_and_spare_blobs(path):
    weights, biases = narrow_blobs()["fc7"]
    for blobs in ([weights], [weights, biases, biases], [biases, weights]):
        path.write_bytes(caffemodel({**narrow_blobs(), "fc7": blobs}))
        refused(narrow_alexnet(), path, "layer fc7 has .*, expected")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_refuses_numbers_that_are_not_finite(path, value, place):
    arrays = [array.copy() for array in narrow_blobs()["fc8"]]
    arrays[place].flat[-1] = value
    path.write_bytes(caffemodel({**narrow_blobs(), "fc8": arrays}))
    refused(narrow_alexnet(), path, f"{path} is damaged: numbers of layer fc8 are not finite")


def test_refuses_the_wrong_net(path):
    path.write_bytes(caffemodel(narrow_blobs()))
    refused(nin_cifar10(width=0.1), path, f"{path} doesn't fit model nin_cifar10: layer conv1")
    refused(overfeat(width=0.02), path, f"{path} doesn't fit model overfeat_fast: layer conv1")
    path.write_bytes(caffemodel(random_blobs(narrowed(NIN_CIFAR10, 0.125, 10))))
    refused(narrow_alexnet(), path, f"{path} doesn't fit model alexnet: layer conv1")


def test_refuses_models_that_caffe_never_had(path):
    path.write_bytes(caffemodel(narrow_blobs()))
    refused(maxout_mnist_pi(), path, "model maxout_mnist_pi has a layer .*: no Caffe net of ours")


def test_refuses_an_unknown_channel_order(path):
    with pytest.raises(ValueError, match="Received: channel_order='BGR'"):
        load_caffe_weights(narrow_alexnet(), path, "BGR")


# Torch does what Caffe does: BGR, channels first, groups, alpha / n, ceil pooling.


def caffe_alexnet(pixels, blobs, pool_first=False):
    torch = pytest.importorskip("torch", reason="needs torch: pip install -e .[peers]")
    relu, conv2d, linear = torch.relu, torch.nn.functional.conv2d, torch.nn.functional.linear
    blobs = {name: [torch.tensor(array) for array in arrays] for name, arrays in blobs.items()}

    def pool(x):
        return torch.nn.functional.max_pool2d(x, 3, 2, ceil_mode=True)

    def norm(x):
        return torch.nn.functional.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1)

    def norm_and_pool(x):
        return norm(pool(x)) if pool_first else pool(norm(x))

    x = caffe_input(torch, pixels)
    x = norm_and_pool(relu(conv2d(x, *blobs["conv1"], stride=4)))
    x = norm_and_pool(relu(conv2d(x, *blobs["conv2"], padding=2, groups=2)))
    x = relu(conv2d(x, *blobs["conv3"], padding=1))
    x = relu(conv2d(x, *blobs["conv4"], padding=1, groups=2))
    x = pool(relu(conv2d(x, *blobs["conv5"], padding=1, groups=2)))
    x = relu(linear(x.flatten(1), *blobs["fc6"]))
    x = relu(linear(x, *blobs["fc7"]))
    return linear(x, *blobs["fc8"]).numpy()


def caffe_nin(pixels, blobs, strides, pads, pools):
    torch = pytest.importorskip("torch", reason="needs torch: pip install -e .[peers]")
    kinds = {"max": torch.nn.functional.max_pool2d, "average": torch.nn.functional.avg_pool2d}
    x = caffe_input(torch, pixels)
    stage = -1
    for name, arrays in blobs.items():
        weights, biases = map(torch.tensor, arrays)
        if name.startswith("conv"):
            if stage >= 0:
                x = kinds[pools[stage]](x, 3, 2, ceil_mode=True)
            stage += 1
            x = torch.nn.functional.conv2d(x, weights, biases, strides[stage], pads[stage])
        else:
            x = torch.nn.functional.conv2d(x, weights, biases)
        x = torch.relu(x)
    return x.mean((2, 3)).numpy()


def caffe_input(torch, pixels):
    bgr = np.moveaxis(pixels[..., ::-1], -1, 1)
    mean = np.float32([104.00698793, 116.66876762, 122.67891434]).reshape(3, 1, 1)
    return torch.tensor(bgr - mean)


def differences(path, model, blobs, caffe):
    """Largest difference of the scores from Caffe's, over their deviation."""
    path.write_bytes(caffemodel(blobs, "layers"))
    load_caffe_weights(model, path)
    shape = (2, *model.input.shape[1:])
    pixels = np.random.default_rng(2).integers(0, 256, shape).astype("float32")
    theirs = caffe(pixels, blobs)
    ours = model.predict_on_batch(pixels)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / theirs.std()


def settings():
    """Fresh layers of preprocessing, and scores instead of probabilities."""
    return {"preprocessing": caffe_preprocessing(), "classifier_activation": None}


BVLC = {"lrn": {"alpha": 2e-5, "bias": 1.0}}
NIN_IMAGENET_TWIN = functools.partial(
    caffe_nin, strides=(4, 1, 1, 1), pads=(0, 2, 1, 1), pools=("max", "max", "max")
)
NIN_CIFAR10_TWIN = functools.partial(
    caffe_nin, strides=(1, 1, 1), pads=(2, 2, 1), pools=("max", "average")
)


@pytest.mark.parametrize("order", ["paper", "caffenet"])
def test_narrow_alexnet_computes_what_caffe_does(path, order):
    model = narrow_alexnet(order=order, **BVLC, **settings())
    twin = functools.partial(caffe_alexnet, pool_first=order == "caffenet")
    assert differences(path, model, narrow_blobs(), twin) < 1e-4


def test_narrow_nin_computes_what_caffe_does(path):
    model = nin_imagenet((95, 127, 3), classes=7, width=0.0625, **settings())
    blobs = random_blobs(narrowed(NIN_IMAGENET, 0.0625, 7))
    assert differences(path, model, blobs, NIN_IMAGENET_TWIN) < 1e-4
    model = nin_cifar10(width=0.125, **settings(), pool2="average")
    blobs = random_blobs(narrowed(NIN_CIFAR10, 0.125, 10))
    assert differences(path, model, blobs, NIN_CIFAR10_TWIN) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("net", ["bvlc_alexnet", "caffenet", "nin_imagenet", "nin_cifar10"])
def test_whole_nets_compute_what_caffe_does(path, net):
    if net == "nin_imagenet":
        model, shapes, twin = nin_imagenet(**settings()), NIN_IMAGENET, NIN_IMAGENET_TWIN
    elif net == "nin_cifar10":
        model = nin_cifar10(**settings(), pool2="average")
        shapes, twin = NIN_CIFAR10, NIN_CIFAR10_TWIN
    else:
        order = "caffenet" if net == "caffenet" else "paper"
        model, shapes = alexnet(order=order, **BVLC, **settings()), ALEXNET
        twin = functools.partial(caffe_alexnet, pool_first=net == "caffenet")
    difference = differences(path, model, random_blobs(shapes), twin)
    print(f"{net}: {difference:.1e}")
    assert difference < 1e-4
