"""The tower convolution against its formula, and against keras.layers.Conv2D with groups."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
from keras.initializers import RandomNormal

from tfcnns.layers import TowerConv


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_weights(layer, rng, input_shape):
    """Builds the layer and gives it random weights; returns a (kernel, bias) for each tower."""
    layer.build(input_shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return [(c.kernel.numpy(), c.bias.numpy() if c.use_bias else 0) for c in layer.convs]


def kernels(layer, input_shape=(None, 5, 5, 4)):
    layer.build(input_shape)
    return [np.asarray(conv.kernel) for conv in layer.convs]


def joined(layer):
    """The towers' weights as those of one Conv2D."""
    if layer.use_bias:
        kernels, biases = layer.get_weights()[::2], layer.get_weights()[1::2]
        return [np.concatenate(kernels, -1), np.concatenate(biases)]
    return [np.concatenate(layer.get_weights(), -1)]


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"towers": 1},
        {"towers": 3},
        {"padding": "valid", "strides": 2},
        {"dilation_rate": (2, 1), "use_bias": False},
        {"kernel_size": (1, 4), "activation": "relu"},
    ],
    ids=str,
)
def test_equals_the_formula(rng, settings, connected):
    layer = TowerConv(**{"filters": 6, "kernel_size": 3, "connected": connected, **settings})
    x = rng.normal(size=(2, 7, 8, 6)).astype("float32")
    maps = []
    for tower, (kernel, bias) in enumerate(with_weights(layer, rng, x.shape)):
        width = 6 // layer.towers
        seen = x if connected else x[..., tower * width : (tower + 1) * width]
        convolved = references.conv2d(
            seen,
            kernel,
            strides=np.broadcast_to(layer.strides, 2),
            padding=layer.padding,
            dilation=np.broadcast_to(layer.dilation_rate, 2),
        )
        maps.append(convolved + bias)
    expected = np.concatenate(maps, -1)
    if "activation" in settings:
        expected = np.maximum(expected, 0)
    y = layer(x)
    assert tuple(y.shape) == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"towers": 3, "strides": 2, "padding": "valid"},
        {"dilation_rate": 2, "use_bias": False, "activation": "tanh"},
    ],
    ids=str,
)
def test_is_a_grouped_conv2d_also_in_its_gradients(rng, settings, connected):
    layer = TowerConv(**{"filters": 6, "kernel_size": 3, "connected": connected, **settings})
    groups = 1 if connected else layer.towers
    named = {key: value for key, value in settings.items() if key != "towers"}
    grouped = keras.layers.Conv2D(6, 3, groups=groups, **{"padding": "same", **named})
    x = tf.constant(rng.normal(size=(2, 9, 8, 6)), "float32")
    with_weights(layer, rng, x.shape)
    grouped.build(x.shape)
    grouped.set_weights(joined(layer))

    upstream = rng.normal(size=layer.compute_output_shape(x.shape)).astype("float32")
    results = []
    for conv in (layer, grouped):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = conv(x)
        gradients = tape.gradient(y, [x, *conv.trainable_variables], output_gradients=upstream)
        results.append([y, *gradients])
    ours, theirs = results
    step = 2 if layer.use_bias else 1
    ours[2:] = [tf.concat(ours[2 + i :: step], -1) for i in range(step)]
    # Sums of at most 200 products of order one: float32 leaves 1e-6 of the largest.
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5)


def test_keeps_off_the_grouped_convolution():
    layer = TowerConv(4, 3)
    layer.build((None, 8, 8, 4))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, layer.trainable_variables)

    graph = step.get_concrete_function(tf.TensorSpec((2, 8, 8, 4))).graph.as_graph_def()
    nodes = [node.op for node in graph.node]
    assert nodes.count("Conv2D") == 2
    assert nodes.count("Conv2DBackpropFilter") == 2
    # Keras' path for groups compiles a function of its own.
    assert not any("_XlaMustCompile" in str(f.attr) for f in graph.library.function)


def test_one_tower_is_a_conv2d_from_the_start():
    settings = {"kernel_initializer": RandomNormal(seed=7), "strides": 2, "padding": "valid"}
    layer, conv = TowerConv(4, 3, towers=1, **settings), keras.layers.Conv2D(4, 3, **settings)
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype("float32")
    np.testing.assert_array_equal(layer(x), conv(x))
    np.testing.assert_array_equal(layer.weights[0], conv.weights[0])


def test_a_tower_sees_nothing_of_the_other(rng):
    x = rng.normal(size=(1, 5, 5, 4)).astype("float32")
    changed = x.copy()
    changed[..., 2:] += 1
    alone, both = TowerConv(4, 3), TowerConv(4, 3, connected=True)
    np.testing.assert_array_equal(alone(x)[..., :2], alone(changed)[..., :2])
    assert not np.any(np.isclose(alone(x)[..., 2:], alone(changed)[..., 2:]))
    assert not np.any(np.isclose(both(x), both(changed)))


def test_channels_first_is_the_transpose(rng):
    last = TowerConv(4, 3, strides=2, activation="relu")
    with_weights(last, rng, (None, 7, 8, 6))
    first = TowerConv(4, 3, strides=2, activation="relu", data_format="channels_first")
    first.build((None, 6, 7, 8))
    first.set_weights(last.get_weights())
    x = rng.normal(size=(2, 7, 8, 6)).astype("float32")
    y = np.moveaxis(np.asarray(last(x)), -1, 1)
    np.testing.assert_allclose(first(np.moveaxis(x, -1, 1)), y, rtol=1e-6)
    assert first.compute_output_shape((None, 6, 7, None)) == (None, 4, 4, None)


def test_alexnets_conv2_and_conv3():
    conv2, conv3 = TowerConv(256, 5, name="conv2"), TowerConv(384, 3, connected=True, name="conv3")
    conv2.build((None, 27, 27, 96))
    conv3.build((None, 13, 13, 256))
    assert [(w.path, w.shape) for w in conv2.weights] == [
        ("conv2/tower0/kernel", (5, 5, 48, 128)),
        ("conv2/tower0/bias", (128,)),
        ("conv2/tower1/kernel", (5, 5, 48, 128)),
        ("conv2/tower1/bias", (128,)),
    ]
    assert conv2.count_params() == 307_456
    assert conv3.count_params() == 885_120


@pytest.mark.parametrize(
    "initializer",
    [
        "he_normal",
        RandomNormal(stddev=0.05),
        RandomNormal(stddev=0.05, seed=7),
        RandomNormal(seed=keras.random.SeedGenerator(7)),
    ],
    ids=["name", "unseeded", "seeded", "generator"],
)
def test_towers_start_different(initializer):
    first, second, third = kernels(
        TowerConv(6, 3, towers=3, kernel_initializer=initializer), (None, 5, 5, 6)
    )
    assert not np.any(np.isclose(first, second, atol=0))
    assert not np.any(np.isclose(first, third, atol=0))
    assert not np.any(np.isclose(second, third, atol=0))


def test_biases_of_towers_start_different():
    layer = TowerConv(4, 3, bias_initializer=RandomNormal(seed=7))
    layer.build((None, 5, 5, 4))
    assert not np.any(np.isclose(layer.convs[0].bias, layer.convs[1].bias))


@pytest.mark.parametrize("seed", [None, 7])
def test_starts_repeat_with_and_without_devices(seed):
    def start(**kwargs):
        keras.utils.set_random_seed(1)
        layer = TowerConv(4, 3, kernel_initializer=RandomNormal(seed=seed), **kwargs)
        kernels(layer)
        return layer

    one, placed = start(), start(devices=("cpu:0", "cpu:0"))
    again = TowerConv.from_config(placed.get_config())
    kernels(again)
    for mine, other, third in zip(one.weights, placed.weights, again.weights, strict=True):
        assert mine.name == other.name
        np.testing.assert_array_equal(mine, other)
        assert seed is None or np.array_equal(mine, third)


def test_first_tower_takes_the_seed_as_given():
    conv = keras.layers.Conv2D(2, 3, kernel_initializer=RandomNormal(seed=7))
    conv.build((None, 5, 5, 2))
    layer = TowerConv(4, 3, kernel_initializer=RandomNormal(seed=7))
    np.testing.assert_array_equal(kernels(layer)[0], conv.kernel)


def test_scale_follows_the_fan_in_of_a_tower():
    layer = TowerConv(256, 5, kernel_initializer=keras.initializers.HeNormal(seed=0))
    for kernel in kernels(layer, (None, 27, 27, 96)):
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (5 * 5 * 48)), rtol=0.01)


def test_regularizers_and_constraints_reach_every_tower():
    layer = TowerConv(
        4,
        3,
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer=keras.regularizers.L1(0.25),
        bias_initializer="ones",
        kernel_constraint="unit_norm",
        bias_constraint="non_neg",
    )
    layer.build((None, 5, 5, 4))
    squares = sum(np.sum(np.square(conv.kernel)) for conv in layer.convs)
    np.testing.assert_allclose(sum(layer.losses), 0.5 * squares + 0.25 * 4, rtol=1e-5)
    for kernel, bias in zip(layer.weights[::2], layer.weights[1::2], strict=True):
        assert isinstance(kernel.constraint, keras.constraints.UnitNorm)
        assert isinstance(bias.constraint, keras.constraints.NonNeg)


def test_devices_hold_variables_and_convolutions():
    layer = TowerConv(4, 3, devices=["cpu:0", "/CPU:0"])
    layer.build((None, 8, 8, 4))
    assert all(w.value.device.endswith("/device:CPU:0") for w in layer.weights)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((2, 8, 8, 4))).graph
    placed = [op.device for op in graph.get_operations() if op.type == "Conv2D"]
    assert len(placed) == 2
    assert all(device.endswith("device:CPU:0") for device in placed)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"filters": 5}, "multiple of `towers`. Received: filters=5, towers=2"),
        ({"filters": 0}, "Received: filters=0"),
        ({"towers": 0}, "Received: towers=0"),
        ({"towers": 1.5}, "Received: towers=1.5"),
        ({"devices": ("cpu:0",)}, r"one for each tower. Received: devices=\('cpu:0',\), towers=2"),
        ({"devices": "cpu:0"}, "Received: devices='cpu:0'"),
        ({"devices": (0, 1)}, r"Received: devices=\(0, 1\)"),
        ({"data_format": "NCHW"}, "Received: data_format='NCHW'"),
        ({"strides": 2, "dilation_rate": 2}, "strides=.*dilation_rate="),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        TowerConv(**{"filters": 4, "kernel_size": 3, **wrong})


def test_channels_that_cannot_be_shared_are_refused():
    images = keras.Input((9, 9, 3))
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 9, 9, 3\), towers=2"):
        TowerConv(4, 3)(images)
    assert TowerConv(4, 3, connected=True)(images).shape == (None, 9, 9, 4)
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 9, 9, None\)"):
        TowerConv(4, 3)(keras.Input((9, 9, None)))
