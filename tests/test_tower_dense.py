"""The tower dense layer against keras.layers.Dense, which it is with its kernel cut in pieces."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.initializers import RandomNormal

from tfcnns.layers import TowerDense


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 5)], ids=str)
@pytest.mark.parametrize("settings", [{}, {"towers": 3, "use_bias": False}], ids=str)
def test_is_a_dense_layer_also_in_its_gradients(settings, shape):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=shape), "float32")
    layer = TowerDense(6, activation="tanh", **settings)
    layer.build(shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    step = 2 if layer.use_bias else 1
    dense = keras.layers.Dense(6, activation="tanh", use_bias=layer.use_bias)
    dense.build(shape)
    dense.set_weights([np.concatenate(layer.get_weights()[i::step], -1) for i in range(step)])

    upstream = rng.normal(size=(*shape[:-1], 6)).astype("float32")
    results = []
    for one in (layer, dense):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = one(x)
        gradients = tape.gradient(y, [x, *one.trainable_variables], output_gradients=upstream)
        results.append([y, *gradients])
    ours, theirs = results
    ours[2:] = [tf.concat(ours[2 + i :: step], -1) for i in range(step)]
    assert tuple(ours[0].shape) == layer.compute_output_shape(shape)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_one_tower_is_a_dense_layer_from_the_start():
    settings = {"kernel_initializer": RandomNormal(seed=7)}
    layer, dense = TowerDense(4, towers=1, **settings), keras.layers.Dense(4, **settings)
    x = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    np.testing.assert_array_equal(layer(x), dense(x))


def test_alexnets_fc6():
    layer = TowerDense(4096, name="fc6")
    layer.build((None, 9216))
    assert [(w.path, w.shape) for w in layer.weights] == [
        ("fc6/tower0/kernel", (9216, 2048)),
        ("fc6/tower0/bias", (2048,)),
        ("fc6/tower1/kernel", (9216, 2048)),
        ("fc6/tower1/bias", (2048,)),
    ]
    assert layer.count_params() == 37_752_832


@pytest.mark.parametrize("seed", [None, 7])
def test_towers_start_different_and_repeat_with_devices(seed):
    def start(**kwargs):
        keras.utils.set_random_seed(1)
        initializer = RandomNormal(seed=seed)
        layer = TowerDense(
            6, towers=3, kernel_initializer=initializer, bias_initializer=initializer, **kwargs
        )
        layer.build((None, 5))
        return layer

    one, placed = start(), start(devices=("cpu:0",) * 3)
    for mine, other in zip(one.weights, placed.weights, strict=True):
        np.testing.assert_array_equal(mine, other)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        first, second = one.denses[first], one.denses[second]
        assert not np.any(np.isclose(first.kernel, second.kernel, atol=0))
        assert not np.any(np.isclose(first.bias, second.bias, atol=0))


def test_devices_hold_variables_and_products():
    layer = TowerDense(4, devices=["cpu:0", "/CPU:0"])
    layer.build((None, 5))
    assert all(w.value.device.endswith("/device:CPU:0") for w in layer.weights)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((2, 5))).graph
    placed = [op.device for op in graph.get_operations() if op.type == "MatMul"]
    assert len(placed) == 2
    assert all(device.endswith("device:CPU:0") for device in placed)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": 5}, "multiple of `towers`. Received: units=5, towers=2"),
        ({"units": -2}, "Received: units=-2"),
        ({"towers": "2"}, "Received: towers='2'"),
        ({"devices": ("cpu:0",)}, r"one for each tower. Received: devices=\('cpu:0',\), towers=2"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        TowerDense(**{"units": 4, **wrong})


def test_unknown_features_are_refused():
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, None\)"):
        TowerDense(4)(keras.Input((None,)))
