"""The maxout nets against the literal numbers of the paper and of the authors' files."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from tfcnns.layers import GlobalContrastNormalization, MaxoutConv, MaxoutDense, ZCAWhitening
from tfcnns.models import (
    maxout,
    maxout_cifar10,
    maxout_cifar100,
    maxout_mnist,
    maxout_mnist_pi,
    maxout_svhn,
)

CIFAR = {
    "image": (32, 32, 3),
    "drop0": (32, 32, 3),
    "pad1": (40, 40, 3),
    "conv1": (33, 33, 96),
    "pool1": (16, 16, 96),
    "drop1": (16, 16, 96),
    "pad2": (22, 22, 96),
    "conv2": (15, 15, 192),
    "pool2": (7, 7, 192),
    "drop2": (7, 7, 192),
    "pad3": (13, 13, 192),
    "conv3": (9, 9, 192),
    "pool3": (5, 5, 192),
    "drop3": (5, 5, 192),
    "flatten": (4800,),
    "fc": (500,),
    "drop4": (500,),
}
# builder: parameters, and the size of each layer's output
NETS = {
    maxout_mnist_pi: (
        1_233_610,
        {
            "image": (28, 28, 1),
            "drop0": (28, 28, 1),
            "flatten": (784,),
            "fc1": (240,),
            "drop1": (240,),
            "fc2": (240,),
            "drop2": (240,),
            "softmax": (10,),
        },
    ),
    maxout_mnist: (
        471_994,
        {
            "image": (28, 28, 1),
            "drop0": (28, 28, 1),
            "conv1": (21, 21, 48),
            "pool1": (10, 10, 48),
            "drop1": (10, 10, 48),
            "pad2": (16, 16, 48),
            "conv2": (9, 9, 48),
            "pool2": (4, 4, 48),
            "drop2": (4, 4, 48),
            "pad3": (10, 10, 48),
            "conv3": (6, 6, 24),
            "pool3": (3, 3, 24),
            "drop3": (3, 3, 24),
            "flatten": (216,),
            "softmax": (10,),
        },
    ),
    maxout_cifar10: (16_247_830, {**CIFAR, "softmax": (10,)}),
    maxout_cifar100: (16_292_920, {**CIFAR, "softmax": (100,)}),
    maxout_svhn: (
        10_461_050,
        {
            "image": (32, 32, 3),
            "drop0": (32, 32, 3),
            "pad1": (40, 40, 3),
            "conv1": (36, 36, 64),
            "pool1": (18, 18, 64),
            "drop1": (18, 18, 64),
            "pad2": (24, 24, 64),
            "conv2": (20, 20, 128),
            "pool2": (10, 10, 128),
            "drop2": (10, 10, 128),
            "pad3": (16, 16, 128),
            "conv3": (12, 12, 128),
            "pool3": (6, 6, 128),
            "drop3": (6, 6, 128),
            "flatten": (4608,),
            "fc": (400,),
            "drop4": (400,),
            "softmax": (10,),
        },
    ),
}
KERNELS = {  # shapes, with the pieces of a unit side by side in the last axis
    maxout_mnist_pi: {"fc1": (784, 1200), "fc2": (240, 1200), "softmax": (240, 10)},
    maxout_mnist: {
        "conv1": (8, 8, 1, 96),
        "conv2": (8, 8, 48, 96),
        "conv3": (5, 5, 48, 96),
        "softmax": (216, 10),
    },
    maxout_cifar10: {
        "conv1": (8, 8, 3, 192),
        "conv2": (8, 8, 96, 384),
        "conv3": (5, 5, 192, 384),
        "fc": (4800, 2500),
        "softmax": (500, 10),
    },
    maxout_svhn: {
        "conv1": (5, 5, 3, 128),
        "conv2": (5, 5, 64, 256),
        "conv3": (5, 5, 128, 256),
        "fc": (4608, 2000),
        "softmax": (400, 10),
    },
}
FULL = {"conv1": 0.9, "conv2": 1.9365, "conv3": 1.9365, "fc": 1.9, "softmax": 1.9365}
NORMS = {
    maxout_mnist_pi: {"fc1": 1.9365, "fc2": 1.9365, "softmax": 1.9365},
    maxout_mnist: {"conv1": 0.9, "conv2": 1.9365, "conv3": 1.9365, "softmax": 1.9365},
    maxout_cifar10: FULL,
    maxout_cifar100: FULL,
    maxout_svhn: FULL,
}


def images(model, batch=4):
    """Random images without zeros, so that every zero behind a mask is the mask's."""
    return np.random.default_rng(0).uniform(0.5, 1, (batch, *model.input_shape[1:])).astype("f")


def kernels(model):
    return {layer.name: layer.kernel for layer in model.layers if hasattr(layer, "kernel")}


def column_norms(kernel):
    return np.linalg.norm(np.reshape(kernel, (-1, kernel.shape[-1])), axis=0)


@pytest.mark.parametrize("builder", NETS)
def test_the_papers_numbers(builder):
    keras.utils.set_random_seed(0)
    model = builder()
    parameters, sizes = NETS[builder]
    assert model.name == builder.__name__
    assert model.count_params() == parameters
    found = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert list(found.items()) == list(sizes.items())  # in this order
    if builder in KERNELS:
        found = {name: tuple(kernel.shape) for name, kernel in kernels(model).items()}
        assert found == KERNELS[builder]

    # The authors start from a uniform distribution of half-width .005, and from no bias.
    starts = []
    for weight in model.weights:
        if weight.name == "bias":
            assert not np.any(weight)
            continue
        values = np.array(weight).ravel()
        assert -0.005 <= values.min() < values.max() <= 0.005
        assert np.std(values) == pytest.approx(0.005 / np.sqrt(3), rel=0.05)
        starts.append(tuple(values[:5]))
    assert len(set(starts)) == len(starts)  # no layer repeats another


def test_biases_of_the_mnist_net():
    untied, tied = maxout_mnist(), maxout_mnist(untied_bias=False)
    assert tied.count_params() == 418_714
    shapes = [layer.bias.shape for layer in untied.layers if isinstance(layer, MaxoutConv)]
    assert shapes == [(21, 21, 96), (9, 9, 96), (6, 6, 96)]
    shapes = [layer.bias.shape for layer in tied.layers if isinstance(layer, MaxoutConv)]
    assert shapes == [(96,), (96,), (96,)]


@pytest.mark.parametrize("builder", NETS)
def test_norms_hold_after_each_update(builder):
    keras.utils.set_random_seed(0)
    model = builder(width=0.05)
    rng = np.random.default_rng(0)
    for kernel in kernels(model).values():
        kernel.assign(rng.normal(size=kernel.shape))  # all columns but the shortest are too long
    model.compile(keras.optimizers.SGD(1e-6), "sparse_categorical_crossentropy")
    x = images(model)
    for _ in range(2):
        before = {name: column_norms(kernel) for name, kernel in kernels(model).items()}
        model.train_on_batch(x, np.arange(len(x)))
        assert kernels(model).keys() == NORMS[builder].keys()
        for name, kernel in kernels(model).items():
            expected = np.minimum(before[name], NORMS[builder][name])
            np.testing.assert_allclose(column_norms(kernel), expected, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("builder", NETS)
def test_masks_are_on_the_inputs_of_weights_and_nowhere_else(builder):
    model = builder(width=0.1)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(scale=0.1, size=w.shape) for w in model.weights])
    outputs = {layer.name: layer.output for layer in model.layers}
    seen = keras.Model(model.input, outputs)(images(model, 40), training=True)

    # The nets are chains. In one training pass every layer but the masks is the same function as
    # at inference, so that nothing is dropped between a layer's affine maps and their max; and a
    # mask is followed by weights, with at most padding and flattening between.
    masked = False
    for before, layer in pairwise(model.layers):
        x, y = np.array(seen[before.name]), np.array(seen[layer.name])
        if layer.name.startswith("drop"):
            rate, scale = (0.2, 1) if layer.name == "drop0" else (0.5, 2)
            dropped = y == 0
            assert np.all(x != 0)
            np.testing.assert_allclose(y[~dropped], scale * x[~dropped], rtol=1e-6)
            assert np.mean(dropped) == pytest.approx(rate, abs=5 * np.sqrt(0.25 / y.size))
            masked = True
            continue
        np.testing.assert_allclose(y, layer(x, training=False), rtol=1e-4, atol=1e-5)
        if isinstance(layer, (keras.layers.ZeroPadding2D, keras.layers.Flatten)):
            continue
        has_weights = isinstance(layer, (MaxoutConv, MaxoutDense, keras.layers.Dense))
        assert masked == has_weights, layer.name
        masked = False


def test_nothing_is_dropped_at_inference():
    model = maxout_mnist(width=0.1, classifier_activation=None)
    without = maxout_mnist(width=0.1, classifier_activation=None, input_dropout=0, dropout=0)
    without.set_weights(model.get_weights())
    x = images(model)
    np.testing.assert_array_equal(model(x), without(x))
    np.testing.assert_allclose(model(x), without(x, training=True), rtol=1e-6)


def test_pixels_may_come_in_any_order_to_the_permutation_invariant_net():
    model, other = (maxout_mnist_pi((36,), width=0.1) for _ in range(2))
    order = np.random.default_rng(0).permutation(36)
    first, *rest = model.get_weights()
    other.set_weights([first[order], *rest])
    x = images(model)
    np.testing.assert_allclose(other(x[:, order]), model(x), rtol=1e-5)


def test_classes_and_their_activation():
    model = maxout_svhn(classes=7, width=0.05)
    logits = maxout_svhn(classes=7, width=0.05, classifier_activation=None, name="logits")
    logits.set_weights([100 * w for w in model.get_weights()])
    model.set_weights(logits.get_weights())
    x = images(model)
    assert model(x).shape == (4, 7)
    np.testing.assert_allclose(model(x), keras.ops.softmax(logits(x)), rtol=1e-5)
    assert logits.name == "logits"
    assert not np.allclose(np.sum(logits(x), -1), 1)


def test_preprocessing_stands_before_the_first_mask_and_is_saved(tmp_path):
    whitening = ZCAWhitening(name="whiten")
    contrast = GlobalContrastNormalization(name="contrast")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (50, 16, 16, 1)).astype("float32")
    whitening.adapt(contrast(x))
    net = {"input_shape": (16, 16, 1), "width": 0.1, "irange": 0.2}
    model = maxout_mnist(**net, preprocessing=[contrast, whitening])
    assert [layer.name for layer in model.layers][:4] == ["image", "contrast", "whiten", "drop0"]
    plain = maxout_mnist(**net)
    plain.set_weights(model.get_weights()[-len(plain.weights) :])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = plain(whitening(contrast(x)))
    np.testing.assert_allclose(again(x), expected, rtol=1e-4)
    np.testing.assert_allclose(model(x), expected, rtol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.01  # images matter
    conv = again.get_layer("conv1")
    assert conv.kernel_constraint.get_config() == {"max_value": 0.9, "axis": [0, 1, 2]}


def test_probabilities_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = maxout_mnist(width=0.1)
    finally:
        keras.config.set_dtype_policy(before)
    y = model(images(model))
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    np.testing.assert_allclose(np.sum(y, -1), 1, rtol=1e-5)


def test_a_net_of_ones_own():
    model = maxout((12, 12, 1), [(4, 2, 3, 1, 2, 2, 0.5)], [(8, 3)], 5, irange=0.1)
    names = ["image", "drop0", "pad1", "conv1", "pool1", "drop1", "flatten", "fc", "drop2"]
    assert [layer.name for layer in model.layers] == [*names, "softmax"]
    assert model.get_layer("conv1").kernel_constraint.max_value == 0.5
    assert model.get_layer("fc").kernel_constraint.max_value == 1.9365
    assert np.max(np.abs(model.get_layer("fc").kernel)) == pytest.approx(0.1, rel=0.02)


def test_what_it_refuses():
    with pytest.raises(
        ValueError, match=r"`width` must be a finite number > 0\. Received: width=0"
    ):
        maxout_cifar10(width=0)
    with pytest.raises(ValueError, match=r"must fit into the input.*\(None, 7, 7, 1\)"):
        maxout_mnist((7, 7, 1))
