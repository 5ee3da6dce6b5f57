"""The Network in Network builders against the literal numbers of the authors' nets."""

import keras
import numpy as np
import pytest

from tfcnns.layers import CeilAveragePooling2D, CeilMaxPooling2D
from tfcnns.models import nin, nin_cifar10, nin_cifar100, nin_imagenet, nin_mnist, nin_svhn

CIFAR = {
    "image": (32, 32, 3),
    "mlpconv1": (32, 32, 96),
    "pool1": (16, 16, 96),
    "drop1": (16, 16, 96),
    "mlpconv2": (16, 16, 192),
    "pool2": (8, 8, 192),
    "drop2": (8, 8, 192),
}
# builder: parameters, and the size of each layer's output
NETS = {
    nin_cifar10: (
        966_986,
        {**CIFAR, "mlpconv3": (8, 8, 10), "gap": (10,), "classifier": (10,)},
    ),
    nin_cifar100: (
        984_356,
        {**CIFAR, "mlpconv3": (8, 8, 100), "gap": (100,), "classifier": (100,)},
    ),
    nin_svhn: (
        1_986_026,
        {
            "image": (32, 32, 3),
            "mlpconv1": (32, 32, 64),
            "pool1": (16, 16, 64),
            "drop1": (16, 16, 64),
            "mlpconv2": (16, 16, 128),
            "pool2": (8, 8, 128),
            "drop2": (8, 8, 128),
            "mlpconv3": (8, 8, 10),
            "gap": (10,),
            "classifier": (10,),
        },
    ),
    nin_mnist: (
        349_674,
        {
            "image": (28, 28, 1),
            "mlpconv1": (28, 28, 48),
            "pool1": (14, 14, 48),
            "drop1": (14, 14, 48),
            "mlpconv2": (14, 14, 48),
            "pool2": (7, 7, 48),
            "drop2": (7, 7, 48),
            "mlpconv3": (7, 7, 10),
            "gap": (10,),
            "classifier": (10,),
        },
    ),
    nin_imagenet: (
        7_595_176,
        {
            "image": (224, 224, 3),
            "mlpconv1": (54, 54, 96),
            "pool1": (27, 27, 96),
            "mlpconv2": (27, 27, 256),
            "pool2": (13, 13, 256),
            "mlpconv3": (13, 13, 384),
            "pool3": (6, 6, 384),
            "drop3": (6, 6, 384),
            "mlpconv4": (6, 6, 1000),
            "gap": (1000,),
            "classifier": (1000,),
        },
    ),
}
# Side, inputs, outputs and initial standard deviation of each kernel, from the authors' files.
KERNELS = {
    nin_cifar10: [
        (5, 3, 192, 0.05), (1, 192, 160, 0.05), (1, 160, 96, 0.05),
        (5, 96, 192, 0.05), (1, 192, 192, 0.05), (1, 192, 192, 0.05),
        (3, 192, 192, 0.05), (1, 192, 192, 0.05), (1, 192, 10, 0.05),
    ],
    nin_cifar100: [
        (5, 3, 192, 0.001), (1, 192, 160, 0.01), (1, 160, 96, 0.01),
        (5, 96, 192, 0.05), (1, 192, 192, 0.05), (1, 192, 192, 0.05),
        (3, 192, 192, 0.05), (1, 192, 192, 0.05), (1, 192, 100, 0.05),
    ],
    nin_svhn: [
        (5, 3, 128, 0.05), (1, 128, 96, 0.05), (1, 96, 64, 0.05),
        (5, 64, 320, 0.05), (1, 320, 256, 0.05), (1, 256, 128, 0.05),
        (5, 128, 384, 0.05), (1, 384, 256, 0.05), (1, 256, 10, 0.05),
    ],
    nin_mnist: [
        (5, 1, 96, 0.05), (1, 96, 64, 0.05), (1, 64, 48, 0.05),
        (5, 48, 128, 0.05), (1, 128, 96, 0.05), (1, 96, 48, 0.05),
        (5, 48, 128, 0.05), (1, 128, 96, 0.05), (1, 96, 10, 0.05),
    ],
    nin_imagenet: [
        (11, 3, 96, 0.01), (1, 96, 96, 0.05), (1, 96, 96, 0.05),
        (5, 96, 256, 0.05), (1, 256, 256, 0.05), (1, 256, 256, 0.05),
        (3, 256, 384, 0.01), (1, 384, 384, 0.05), (1, 384, 384, 0.05),
        (3, 384, 1024, 0.05), (1, 1024, 1024, 0.05), (1, 1024, 1000, 0.01),
    ],
}  # fmt: skip


@pytest.mark.parametrize("builder", NETS)
def test_the_papers_numbers(builder):
    keras.utils.set_random_seed(0)
    model = builder()
    parameters, sizes = NETS[builder]
    assert model.name == builder.__name__
    assert model.count_params() == parameters
    found = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert list(found.items()) == list(sizes.items())  # in this order
    kernels = [np.array(weight) for weight in model.weights if weight.name == "kernel"]
    for kernel, (side, inputs, outputs, std) in zip(kernels, KERNELS[builder], strict=True):
        assert kernel.shape == (side, side, inputs, outputs)
        assert np.std(kernel) == pytest.approx(std, rel=0.1)
        assert abs(np.mean(kernel)) < 5 * std / np.sqrt(kernel.size)
    assert not any(np.any(weight) for weight in model.weights if weight.name == "bias")
    assert len({tuple(kernel.ravel()[:5]) for kernel in kernels}) == len(kernels)


def test_the_tops_of_the_papers_comparison():
    gap, fc, dropped = (nin_cifar10(top=top) for top in ("gap", "fc", "fc_dropout"))
    assert fc.count_params() == dropped.count_params() == 966_986 + 8 * 8 * 10 * 10 + 10
    names = [layer.name for layer in gap.layers]
    assert names[-3:] == ["mlpconv3", "gap", "classifier"]
    assert [layer.name for layer in fc.layers] == [*names[:-2], "flatten", "fc", "classifier"]
    assert [layer.name for layer in dropped.layers][-4:] == [
        "flatten",
        "drop_fc",
        "fc",
        "classifier",
    ]
    assert dropped.get_layer("drop_fc").rate == 0.5
    assert np.std(fc.get_layer("fc").kernel) == pytest.approx(0.05, rel=0.1)

    # With equal entries, block by block, the dense layer is the mean of each map.
    weights = gap.get_weights()
    fc.set_weights([*weights, np.tile(np.eye(10) / 64, (64, 1)), np.zeros(10)])
    x = np.random.RandomState(0).rand(2, 32, 32, 3).astype("float32")
    np.testing.assert_allclose(fc(x), gap(x), rtol=1e-4)


def test_dropout_on_every_mlpconv_but_the_last():
    for builder in (nin_cifar10, nin_cifar100, nin_svhn, nin_mnist):
        layers = builder(width=0.05).layers
        drops = {layer.name: layer.rate for layer in layers if hasattr(layer, "rate")}
        assert drops == {"drop1": 0.5, "drop2": 0.5}
    layers = nin_imagenet(width=0.05).layers
    drops = {layer.name: layer.rate for layer in layers if hasattr(layer, "rate")}
    assert drops == {"drop3": 0.5}
    layers = nin_cifar10(width=0.05, dropout=(None, 0.2), top="fc_dropout").layers
    drops = {layer.name: layer.rate for layer in layers if hasattr(layer, "rate")}
    assert drops == {"drop2": 0.2, "drop_fc": 0.5}


@pytest.mark.parametrize("top", ["gap", "fc_dropout"])
def test_dropout_scaled_at_test_is_the_same_net_with_larger_kernels(top):
    keras.utils.set_random_seed(0)
    shape, widths = (8, 8, 1), ((6, 5), (6, 4), (6, 3))
    arguments = {"dropout": (0.2, 0.4), "top": top, "classifier_activation": None}
    keras_way = nin(shape, widths, (3, 3, 3), **arguments)
    authors_way = nin(shape, widths, (3, 3, 3), scale_at_test=True, **arguments)
    scales = {"scale1": 0.8, "scale2": 0.6, **({"scale_fc": 0.5} if top == "fc_dropout" else {})}
    names = [layer.name for layer in authors_way.layers]
    for name, factor in scales.items():
        assert names[names.index(name) - 1] == name.replace("scale", "drop")
        assert authors_way.get_layer(name).scale == pytest.approx(factor)
    assert [name for name in names if name not in scales] == [x.name for x in keras_way.layers]

    x = np.random.RandomState(0).rand(64, *shape).astype("float32")
    authors_way.set_weights(keras_way.get_weights())
    assert not np.allclose(authors_way(x), keras_way(x), rtol=1e-2)
    after = {"mlpconv2/conv/kernel": 0.8, "mlpconv3/conv/kernel": 0.6, "fc/kernel": 0.5}
    for weight in authors_way.weights:
        if weight.path in after:
            weight.assign(weight / after[weight.path])
    np.testing.assert_allclose(authors_way(x), keras_way(x), rtol=1e-4, atol=1e-6)

    # In training what is kept stays as it is, and 0.2 of it is dropped.
    pooled = np.asarray(keras.Model(authors_way.input, authors_way.get_layer("pool1").output)(x))
    top = keras.Model(authors_way.input, authors_way.get_layer("scale1").output)
    dropped = np.asarray(top(x, training=True))
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], pooled[kept], rtol=1e-5)
    assert 0.15 < 1 - kept[pooled > 0].mean() < 0.25  # 2,000 or more draws: .01 is one sigma


def test_the_zoos_second_pool_is_an_average():
    paper, zoo = nin_cifar10(width=0.05), nin_cifar10(width=0.05, pool2="average")
    for model, kind in ((paper, CeilMaxPooling2D), (zoo, CeilAveragePooling2D)):
        assert isinstance(model.get_layer("pool1"), CeilMaxPooling2D)
        assert isinstance(model.get_layer("pool2"), kind)
    assert paper.output_shape == zoo.output_shape


def test_width_leaves_the_classes_alone():
    model = nin_cifar100(classes=7, width=0.1, last_activation=None, kernel_initializer="he_normal")
    widths = [weight.shape[0] for weight in model.weights if weight.name == "bias"]
    assert widths == [19, 16, 10, 19, 19, 19, 19, 19, 7]
    assert np.std(model.weights[0]) > 0.1  # he_normal of 75 inputs; the authors' would be .001


def test_odd_maps_keep_their_partial_windows_only():
    model = nin((27, 7, 3), ((4, 3), (4, 5)), (3, 3))
    assert model.get_layer("pool1").output.shape[1:] == (13, 3, 3)  # "same" would make 14, 4


def test_class_scores_are_means_of_rectified_maps():
    keras.utils.set_random_seed(0)
    model = nin((8, 8, 1), ((4, 3), (4, 5)), (3, 3), classifier_activation=None)
    x = np.random.RandomState(0).rand(2, 8, 8, 1).astype("float32")
    maps = keras.Model(model.input, model.get_layer("mlpconv2").output)(x)
    assert np.min(maps) == 0  # the authors' ReLU on the class maps
    np.testing.assert_allclose(model(x), np.mean(maps, (1, 2)), rtol=1e-6)
    linear = nin((8, 8, 1), ((4, 3), (4, 5)), (3, 3), last_activation=None)
    linear.set_weights(model.get_weights())
    maps = keras.Model(linear.input, linear.get_layer("mlpconv2").output)(x)
    assert np.min(maps) < 0


def test_probabilities_any_size_and_preprocessing_inside():
    scale = keras.layers.Rescaling(1 / 255)
    model = nin((None, None, 1), ((4, 3), (4, 5)), (3, 3), preprocessing=[scale])
    plain = nin((None, None, 1), ((4, 3), (4, 5)), (3, 3))
    plain.set_weights(model.get_weights())
    for size in (7, 12):
        x = np.random.RandomState(0).randint(0, 256, (3, size, size, 1)).astype("float32")
        out = model.predict_on_batch(x)
        np.testing.assert_allclose(out.sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(out, plain.predict_on_batch(x / 255), rtol=1e-4)


def test_stages_have_initialisers_of_their_own():
    first, second = keras.initializers.Constant(0.5), keras.initializers.Zeros()
    model = nin((8, 8, 1), ((4, 3), (4, 5)), (3, 3), kernel_initializer=(first, second))
    assert np.all(model.get_layer("mlpconv1").weights[0] == 0.5)
    assert np.all(model.get_layer("mlpconv2").weights[0] == 0)


def test_what_it_refuses():
    stages = ((4, 3), (4, 5))
    with pytest.raises(
        ValueError, match=r"`kernel_sizes` must be one .*of 2\. .*kernel_sizes=\(3,\)"
    ):
        nin((8, 8, 1), stages, (3,))
    with pytest.raises(ValueError, match=r"`strides` must be one value or.*of 2\. .*\(2, 1, 1\)"):
        nin((8, 8, 1), stages, (3, 3), strides=(2, 1, 1))
    with pytest.raises(ValueError, match=r"`pools` must be one of .*Received: pools='mean'"):
        nin((8, 8, 1), stages, (3, 3), pools="mean")
    with pytest.raises(ValueError, match=r"`top` must be one of .*Received: top='dense'"):
        nin((8, 8, 1), stages, (3, 3), top="dense")
    with pytest.raises(ValueError, match=r"height and width.*input_shape=\(None, None, 1\)"):
        nin((None, None, 1), stages, (3, 3), top="fc")
    with pytest.raises(
        ValueError, match=r"`width` must be a finite number > 0\. Received: width=-1"
    ):
        nin_mnist(width=-1)
