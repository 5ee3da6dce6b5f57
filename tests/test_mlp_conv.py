"""The mlpconv layer against the formula of Network in Network, section 3.1."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
from keras.initializers import RandomNormal

from tfcnns.layers import MLPConv


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_weights(layer, rng, input_shape):
    """Builds the layer and gives it random weights; returns a (kernel, bias) for each layer."""
    layer.build(input_shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return [(c.kernel.numpy(), c.bias.numpy() if c.use_bias else 0) for c in layer.convs]


def kernels(layer):
    return [np.asarray(conv.kernel) for conv in layer.convs]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"filters": (4,)},
        {"filters": [4, 3]},
        {"strides": 2, "padding": "valid"},
        {"strides": (1, 2)},
        {"dilation_rate": 2},
        {"kernel_size": (1, 4)},
        {"use_bias": False},
        {"last_activation": None},
    ],
    ids=str,
)
def test_equals_the_formula(rng, settings):
    layer = MLPConv(**{"filters": (5, 4, 2), "kernel_size": 3, **settings})
    x = rng.normal(size=(2, 7, 8, 3)).astype("float32")
    expected = references.mlpconv(
        x,
        with_weights(layer, rng, x.shape),
        last_relu="last_activation" not in settings,
        strides=np.broadcast_to(layer.strides, 2),
        padding=layer.padding,
        dilation=np.broadcast_to(layer.dilation_rate, 2),
    )
    y = layer(x)
    assert tuple(y.shape) == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_is_a_chain_of_conv2d(rng):
    layer = MLPConv((5, 4, 2), 3, strides=2, activation="tanh", last_activation="sigmoid")
    weights = with_weights(layer, rng, (None, 7, 8, 3))
    chain = keras.Sequential(
        [
            keras.Input((7, 8, 3)),
            keras.layers.Conv2D(5, 3, strides=2, padding="same", activation="tanh"),
            keras.layers.Conv2D(4, 1, activation="tanh"),
            keras.layers.Conv2D(2, 1, activation="sigmoid"),
        ]
    )
    chain.set_weights([w for pair in weights for w in pair])
    x = rng.normal(size=(2, 7, 8, 3)).astype("float32")
    np.testing.assert_allclose(layer(x), chain(x), rtol=1e-5, atol=1e-6)


def test_gradients_equal_central_differences(rng):
    layer = MLPConv((3, 2), 2, padding="valid", last_activation=None, dtype="float64")
    x = rng.normal(size=(2, 3, 3, 2))
    weights = with_weights(layer, rng, x.shape)
    upstream = rng.normal(size=(2, 2, 2, 2))
    source = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(source)
        loss = tf.reduce_sum(upstream * layer(source))
    expected = references.numerical_gradient(
        lambda x: np.sum(upstream * references.mlpconv(x, weights, last_relu=False)), x
    )
    np.testing.assert_allclose(tape.gradient(loss, source), expected, rtol=1e-6, atol=1e-8)


def test_channels_first_is_the_transpose(rng):
    last = MLPConv((5, 2), 3, strides=2)
    with_weights(last, rng, (None, 7, 8, 3))
    first = MLPConv((5, 2), 3, strides=2, data_format="channels_first")
    first.build((None, 3, 7, 8))
    first.set_weights(last.get_weights())
    x = rng.normal(size=(2, 7, 8, 3)).astype("float32")
    y = np.moveaxis(np.asarray(last(x)), -1, 1)
    np.testing.assert_allclose(first(np.moveaxis(x, -1, 1)), y, rtol=1e-6)
    assert first.compute_output_shape((None, 3, 7, None)) == (None, 2, 4, None)


def test_sublayers_carry_the_authors_names():
    layer = MLPConv((5, 4, 2), 3, name="mlpconv1")
    layer.build((None, 7, 8, 3))
    assert [w.path for w in layer.weights if w.name == "kernel"] == [
        "mlpconv1/conv/kernel",
        "mlpconv1/cccp1/kernel",
        "mlpconv1/cccp2/kernel",
    ]


def test_cifar10_parameters_of_the_paper():
    blocks = [((192, 160, 96), 5, 3), ((192, 192, 192), 5, 96), ((192, 192, 10), 3, 192)]
    total = 0
    for filters, kernel_size, channels in blocks:
        layer = MLPConv(filters, kernel_size)
        layer.build((None, None, None, channels))
        total += layer.count_params()
    assert total == 966_986


@pytest.mark.parametrize(
    "initializer",
    [
        "he_normal",
        RandomNormal(stddev=0.05),
        RandomNormal(stddev=0.05, seed=7),
        RandomNormal(seed=keras.random.SeedGenerator(7)),
        [RandomNormal(seed=7)] * 3,
        [RandomNormal(seed=7), RandomNormal(seed=7), "glorot_uniform"],
    ],
    ids=["name", "unseeded", "seeded", "generator", "one in a list", "list"],
)
def test_equal_shapes_start_different(initializer):
    layer = MLPConv((4, 4, 4), 1, kernel_initializer=initializer)
    layer.build((None, 5, 5, 4))
    first, second, third = kernels(layer)
    assert not np.allclose(first, second)
    assert not np.allclose(first, third)
    assert not np.allclose(second, third)


def test_equal_biases_start_different():
    layer = MLPConv((4, 4), 1, bias_initializer=RandomNormal(seed=7))
    layer.build((None, 5, 5, 4))
    assert not np.allclose(layer.convs[0].bias, layer.convs[1].bias)


def test_seeded_starts_repeat():
    def start(seed):
        layer = MLPConv((4, 4, 4), 1, kernel_initializer=RandomNormal(seed=seed))
        again = MLPConv.from_config(layer.get_config())
        for each in (layer, again):
            each.build((None, 5, 5, 4))
        np.testing.assert_array_equal(kernels(layer), kernels(again))
        return kernels(layer)

    np.testing.assert_array_equal(start(7), start(7))
    # The next seed must not repeat these values in another layer.
    for mine in start(7):
        for others in start(8):
            assert not np.allclose(mine, others)


def test_first_use_of_a_seed_is_taken_as_given():
    conv = keras.layers.Conv2D(4, 3, kernel_initializer=RandomNormal(seed=7))
    conv.build((None, 5, 5, 4))
    layer = MLPConv((4, 4), 3, kernel_initializer=RandomNormal(seed=7))
    layer.build((None, 5, 5, 4))
    np.testing.assert_array_equal(kernels(layer)[0], conv.kernel)


def test_global_seed_makes_starts_repeat():
    def start():
        keras.utils.set_random_seed(1)
        layer = MLPConv((4, 4), 1)
        layer.build((None, 5, 5, 4))
        return kernels(layer)

    np.testing.assert_array_equal(start(), start())


def test_each_layer_takes_its_own_initializer():
    # NIN for CIFAR-100: 0.001 for conv1, 0.01 for the 1x1 layers after it.
    deviations = (0.001, 0.01, 0.01)
    layer = MLPConv((192, 160, 96), 5, kernel_initializer=[RandomNormal(0, s) for s in deviations])
    layer.build((None, 32, 32, 3))
    np.testing.assert_allclose([k.std() for k in kernels(layer)], deviations, rtol=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"filters": 192}, "Received: filters=192"),
        ({"filters": ()}, r"Received: filters=\(\)"),
        ({"filters": (4, 0)}, r"Received: filters=\(4, 0\)"),
        ({"kernel_initializer": ["zeros"]}, r"Received: kernel_initializer=\['zeros'\]"),
        ({"bias_initializer": ["zeros"] * 3}, "a sequence of 2"),
        ({"data_format": "NCHW"}, "Received: data_format='NCHW'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        MLPConv(**{"filters": (4, 2), "kernel_size": 3, **wrong})


def test_unknown_channels_are_refused():
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 9, 9, None\)"):
        MLPConv((4, 2), 3)(keras.Input((9, 9, None)))
