"""cuda-convnet's nets for CIFAR-10 against the literal numbers of their files, and in NumPy."""

import keras
import numpy as np
import pytest
import references
import references_preprocessing
from test_local_conv import local_conv

from tfcnns.layers import LRN, SameMapNorm
from tfcnns.models import alexnet_cifar10

# net: parameters, and the size of each layer's output
NETS = {
    "11pct": (
        2_112_970,
        {
            "image": (24, 24, 3),
            "conv1": (24, 24, 64),
            "pool1": (12, 12, 64),
            "norm1": (12, 12, 64),
            "conv2": (12, 12, 64),
            "norm2": (12, 12, 64),
            "pool2": (6, 6, 64),
            "local3": (6, 6, 64),
            "local4": (6, 6, 32),
            "flatten": (1152,),
            "fc10": (10,),
            "classifier": (10,),
        },
    ),
    "13pct": (
        1_116_490,
        {
            "image": (24, 24, 3),
            "conv1": (24, 24, 64),
            "pool1": (12, 12, 64),
            "conv2": (12, 12, 64),
            "pool2": (6, 6, 64),
            "local3": (6, 6, 32),
            "local4": (6, 6, 32),
            "flatten": (1152,),
            "fc10": (10,),
            "classifier": (10,),
        },
    ),
    "18pct": (
        89_578,
        {
            "image": (32, 32, 3),
            "conv1": (32, 32, 32),
            "pool1": (16, 16, 32),
            "norm1": (16, 16, 32),
            "conv2": (16, 16, 32),
            "pool2": (8, 8, 32),
            "norm2": (8, 8, 32),
            "conv3": (8, 8, 64),
            "pool3": (4, 4, 64),
            "flatten": (1024,),
            "fc10": (10,),
            "classifier": (10,),
        },
    ),
}
# Inputs, outputs and initial standard deviation of each kernel (initW).
KERNELS = {
    "11pct": {
        "conv1": (75, 64, 1e-4), "conv2": (1600, 64, 0.01),
        "local3": (576, 64, 0.04), "local4": (576, 32, 0.04), "fc10": (1152, 10, 0.01),
    },
    "13pct": {
        "conv1": (75, 64, 1e-4), "conv2": (1600, 64, 0.01),
        "local3": (576, 32, 0.04), "local4": (288, 32, 0.04), "fc10": (1152, 10, 0.01),
    },
    "18pct": {
        "conv1": (75, 32, 1e-4), "conv2": (800, 32, 0.01), "conv3": (800, 64, 0.01),
        "fc10": (1024, 10, 0.01),
    },
}  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_is_the_net_of_the_file(net):
    model = alexnet_cifar10(net)
    parameters, sizes = NETS[net]
    assert model.count_params() == parameters
    assert {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers} == sizes
    assert model.name == f"alexnet_cifar10_{net}"
    for name, (inputs, outputs, std) in KERNELS[net].items():
        kernel, bias = model.get_layer(name).get_weights()
        positions = 36 if "local" in name else 1
        assert kernel.shape[-1] == outputs
        assert kernel.size == positions * inputs * outputs
        # The deviation of n samples is off by a fraction of 1 / sqrt(2 n).
        assert abs(kernel.std() / std - 1) < 4 / np.sqrt(2 * kernel.size)
        assert abs(kernel.mean()) < 4 * std / np.sqrt(kernel.size)
        assert bias.shape == ((6, 6, outputs) if "local" in name else (outputs,))
        assert not bias.any()


def test_constants_of_the_norms():
    for name in ("norm1", "norm2"):
        norm = alexnet_cifar10("11pct", width=0.1).get_layer(name)
        assert isinstance(norm, LRN)
        assert (norm.depth_radius, norm.bias, norm.beta) == (4, 1, 0.75)
        assert norm.alpha == pytest.approx(1.1111e-4, rel=1e-4)
        norm = alexnet_cifar10("18pct", width=0.1).get_layer(name)
        assert isinstance(norm, SameMapNorm)
        assert (norm.size, norm.scale, norm.power, norm.bias) == (3, 5e-5, 0.75, 1)


@pytest.mark.parametrize("net", NETS)
def test_norms_can_be_left_out_or_put_in(net):
    without = {layer.name for layer in alexnet_cifar10(net, lrn=False, width=0.1).layers}
    with_them = [layer.name for layer in alexnet_cifar10(net, lrn=True, width=0.1).layers]
    assert set(with_them) - without == {"norm1", "norm2"}
    if net != "18pct":
        assert with_them == list(NETS["11pct"][1])


def forward(model, x):
    """The net in NumPy, layer by layer."""
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    local = "local3" in weights

    def conv(x, name):
        kernel, bias = weights[name]
        return np.tanh(references.conv2d(x, kernel, padding="same") + bias)

    def pool(x, reduce=np.max):
        return references_preprocessing.ceil_pool(x, (3, 3), (2, 2), reduce)

    def norm(x):
        if local:
            return references.lrn(x, 9, 1.0, 0.001 / 9, 0.75)
        return references_preprocessing.same_map_norm(x, 3, 5e-5, 0.75, 1.0)

    x = norm(pool(conv(x, "conv1")))
    x = conv(x, "conv2")
    if local:
        x = pool(norm(x))
        for name in ("local3", "local4"):
            x = np.tanh(local_conv(x, *weights[name], (1, 1), "same"))
    else:
        x = norm(pool(x, np.mean))
        x = pool(conv(x, "conv3"), np.mean)
    kernel, bias = weights["fc10"]
    return x.reshape(len(x), -1) @ kernel + bias


@pytest.mark.parametrize("net", ["11pct", "18pct"])
def test_forward_pass_equals_numpy(net):
    model = alexnet_cifar10(net, "tanh", width=0.1, classifier_activation=None)
    rng = np.random.default_rng(0)
    model.set_weights([0.3 * rng.normal(size=w.shape) for w in model.weights])
    x = rng.normal(size=(2, *model.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(model(x), forward(model, x), rtol=1e-4, atol=1e-4)


def test_arguments_of_every_model():
    first = keras.layers.Rescaling(2.0, name="first")
    model = alexnet_cifar10(
        "13pct", input_shape=(16, 20, 1), classes=7, width=0.1, preprocessing=[first], name="it"
    )
    assert model.layers[1] is first
    assert model.name == "it"
    probabilities = model(np.ones((2, 16, 20, 1)))
    assert tuple(probabilities.shape) == (2, 7)
    np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1, rtol=1e-6)
    assert all(model.get_layer(f"local{n}").activation.__name__ == "relu" for n in (3, 4))


def test_refuses():
    with pytest.raises(ValueError, match=r"`net` must be one of .*Received: net='9pct'"):
        alexnet_cifar10("9pct")
    with pytest.raises(
        ValueError, match=r"`width` must be a finite number > 0\. Received: width=0"
    ):
        alexnet_cifar10(width=0)
