"""Nets without their tops, as `include_top=False` of keras.applications gives them."""

import keras
import numpy as np
import pytest

from tfcnns import models

ALEXNET = {"input_shape": (67, 67, 3), "width": 1 / 16}
CIFAR = {"input_shape": (32, 32, 3), "width": 0.05}
# builder: its arguments, and the last layer of the trunk with the shape of its output
TRUNKS = {
    "alexnet": (ALEXNET, "pool5", (1, 1, 16)),
    "alexnet_cifar10": ({"width": 0.05}, "local4", (6, 6, 2)),
    "maxout_mnist_pi": ({"width": 0.05}, "fc2", (12,)),
    "maxout_mnist": ({"width": 0.05}, "pool3", (3, 3, 1)),
    "maxout_cifar10": (CIFAR, "pool3", (5, 5, 10)),
    "nin_cifar10": (CIFAR, "pool2", (8, 8, 10)),
    "nin_mnist": ({"width": 0.05}, "pool2", (7, 7, 2)),
    "overfeat": (
        {"variant": "digits", "input_shape": (36, 44, 1), "width": 0.1},
        "pool4",
        (3, 4, 10),
    ),
}


def trunk(name, **arguments):
    return getattr(models, name)(**TRUNKS[name][0], include_top=False, **arguments)


@pytest.mark.parametrize("name", TRUNKS)
def test_a_trunk_is_the_net_up_to_its_last_maps(name):
    arguments, last, shape = TRUNKS[name]
    whole, without = getattr(models, name)(**arguments), trunk(name)
    assert without.layers[-1].name == last
    assert without.output_shape == (None, *shape)
    names = [layer.name for layer in without.layers]
    kept = [layer.name for layer in whole.layers]
    # In the order of the whole net, with dropout as the only layer that a trunk may lack.
    assert names == [n for n in kept[: kept.index(last) + 1] if n in names]
    assert all(n.startswith("drop") for n in kept[: kept.index(last) + 1] if n not in names)
    without.set_weights([w for n in names for w in whole.get_layer(n).get_weights()])
    x = np.random.default_rng(0).random((2, *without.input_shape[1:])).astype("float32")
    tap = keras.Model(whole.inputs, whole.get_layer(last).output)
    np.testing.assert_array_equal(without.predict_on_batch(x), tap.predict_on_batch(x))


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
@pytest.mark.parametrize("name", ["alexnet_cifar10", "maxout_mnist", "nin_mnist", "overfeat"])
def test_pooling_leaves_a_number_a_map(name, pooling, reduce):
    maps, pooled = trunk(name), trunk(name, pooling=pooling)
    pooled.set_weights(maps.get_weights())
    x = np.random.default_rng(0).random((2, *maps.input_shape[1:])).astype("float32")
    expected = reduce(maps.predict_on_batch(x), axis=(1, 2))
    np.testing.assert_allclose(pooled.predict_on_batch(x), expected, rtol=1e-5, atol=1e-7)


def test_a_frozen_trunk_learns_new_classes():
    base = trunk("nin_mnist", pooling="avg")
    base.trainable = False
    outputs = keras.layers.Dense(3, activation="softmax")(base.output)
    model = keras.Model(base.input, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")
    frozen, bias = base.get_weights(), model.layers[-1].get_weights()[1]
    x = np.random.default_rng(0).random((4, 28, 28, 1)).astype("float32")
    model.fit(x, np.arange(4) % 3, verbose=0)
    for before, after in zip(frozen, base.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(bias, model.layers[-1].get_weights()[1])


def test_wrong_poolings_are_named():
    with pytest.raises(ValueError, match=r"`pooling` must be one of .*Received: pooling='mean'"):
        trunk("nin_mnist", pooling="mean")
    with pytest.raises(ValueError, match=r"shape \(12,\)\. Received: pooling='avg'"):
        trunk("maxout_mnist_pi", pooling="avg")
