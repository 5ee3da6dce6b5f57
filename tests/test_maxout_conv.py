"""Convolutional maxout against the formula of Maxout Networks, section 3."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf

from tfcnns.layers import MaxoutConv


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_weights(layer, rng, input_shape):
    """Builds the layer and gives it random weights; returns them as the paper's W and b."""
    layer.build(input_shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    pieces = (layer.filters, layer.pieces)
    w = layer.kernel.numpy().reshape(*layer.kernel.shape[:-1], *pieces)
    b = np.zeros(pieces)
    if layer.bias is not None:
        b = layer.bias.numpy().reshape(*layer.bias.shape[:-1], *pieces)
    return w, b


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strides": 2, "padding": "same"},
        {"strides": (2, 3), "padding": "SAME"},
        {"strides": (1, 2)},
        {"dilation_rate": 2},
        {"dilation_rate": (1, 3), "padding": "same"},
        {"kernel_size": (1, 4), "padding": "same"},
        {"kernel_size": 1},
        {"untied_bias": True},
        {"untied_bias": True, "padding": "same", "strides": 2},
        {"use_bias": False},
        {"min_zero": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("pieces", [1, 3])
def test_equals_the_formula(rng, settings, pieces):
    layer = MaxoutConv(**{"filters": 4, "kernel_size": (3, 2), "pieces": pieces, **settings})
    x = rng.normal(size=(2, 9, 8, 3)).astype("float32")
    w, b = with_weights(layer, rng, x.shape)
    expected = references.maxout_conv(
        x,
        w,
        b,
        zero=layer.min_zero,
        strides=np.broadcast_to(layer.strides, 2),
        padding=layer.padding.lower(),
        dilation=np.broadcast_to(layer.dilation_rate, 2),
    )
    y = layer(x)
    assert tuple(y.shape) == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_a_filter_owns_consecutive_outputs():
    layer = MaxoutConv(2, 1, 2)
    layer.build((None, 1, 2, 1))
    layer.set_weights([np.reshape([1.0, -1, 10, 20], (1, 1, 1, 4)), np.array([0, 0.5, 0, 0])])
    y = layer(np.reshape([3.0, -3], (1, 1, 2, 1)))
    np.testing.assert_array_equal(y, [[[[3, 60], [3.5, -30]]]])


def test_one_piece_is_conv2d(rng):
    ours = MaxoutConv(5, 3, 1, strides=2, padding="same")
    with_weights(ours, rng, (None, 8, 7, 3))
    conv = keras.layers.Conv2D(5, 3, strides=2, padding="same")
    conv.build((None, 8, 7, 3))
    conv.set_weights(ours.get_weights())
    x = rng.normal(size=(2, 8, 7, 3)).astype("float32")
    np.testing.assert_allclose(ours(x), conv(x), rtol=1e-5, atol=1e-5)


def test_covering_the_image_is_maxout_dense(rng):
    layer = MaxoutConv(4, (3, 2), 3)
    w, b = with_weights(layer, rng, (None, 3, 2, 5))
    x = rng.normal(size=(6, 3, 2, 5)).astype("float32")
    expected = references.maxout_dense(x.reshape(6, -1), w.reshape(-1, 4, 3), b)
    np.testing.assert_allclose(layer(x)[:, 0, 0], expected, rtol=1e-5, atol=1e-5)


def test_channels_first_is_the_transpose(rng):
    settings = {"filters": 4, "kernel_size": 3, "pieces": 2, "untied_bias": True}
    last = MaxoutConv(**settings)
    with_weights(last, rng, (None, 6, 5, 3))
    first = MaxoutConv(**settings, data_format="channels_first")
    first.build((None, 3, 6, 5))
    first.set_weights(last.get_weights())
    x = rng.normal(size=(2, 6, 5, 3)).astype("float32")
    y = np.moveaxis(np.asarray(last(x)), -1, 1)
    np.testing.assert_allclose(first(np.moveaxis(x, -1, 1)), y, rtol=1e-6)
    assert first.compute_output_shape((None, 3, 6, 5)) == (None, *y.shape[1:])


@pytest.mark.parametrize("settings", [{}, {"min_zero": True}, {"untied_bias": True, "strides": 2}])
def test_gradients_equal_central_differences(rng, settings):
    layer = MaxoutConv(2, (2, 1), 2, dtype="float64", **settings)
    x = rng.normal(size=(2, 3, 3, 2))
    w, b = with_weights(layer, rng, x.shape)
    upstream = rng.normal(size=layer.compute_output_shape(x.shape))
    sources = [tf.constant(x), layer.kernel.value, layer.bias.value]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        loss = tf.reduce_sum(upstream * layer(sources[0]))
    gradients = tape.gradient(loss, sources)

    def loss_of(x, w, b):
        strides = np.broadcast_to(layer.strides, 2)
        return np.sum(upstream * references.maxout_conv(x, w, b, layer.min_zero, strides=strides))

    for gradient, expected in zip(
        gradients,
        [
            references.numerical_gradient(lambda x: loss_of(x, w, b), x),
            references.numerical_gradient(lambda w: loss_of(x, w, b), w),
            references.numerical_gradient(lambda b: loss_of(x, w, b), b),
        ],
        strict=True,
    ):
        np.testing.assert_allclose(
            np.reshape(gradient, expected.shape), expected, rtol=1e-6, atol=1e-8
        )


def test_one_convolution_whatever_the_pieces():
    layer = MaxoutConv(4, 3, 5)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((2, 8, 8, 3))).graph
    assert [op.type for op in graph.get_operations()].count("Conv2D") == 1


def test_mnist_net_has_the_authors_untied_biases():
    layer = MaxoutConv(48, 8, pieces=2, untied_bias=True)
    layer.build((None, 28, 28, 1))
    assert tuple(layer.bias.shape) == (21, 21, 96)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"filters": 0}, "Received: filters=0"),
        ({"pieces": "2"}, "Received: pieces='2'"),
        ({"kernel_size": 0}, "Received: kernel_size=0"),
        ({"kernel_size": (3, 3, 3)}, r"Received: kernel_size=\(3, 3, 3\)"),
        ({"strides": None}, "Received: strides=None"),
        ({"padding": "full"}, "Received: padding='full'"),
        ({"data_format": "NCHW"}, "Received: data_format='NCHW'"),
        ({"strides": 2, "dilation_rate": 2}, "Received: strides=2, dilation_rate=2"),
        ({"untied_bias": True, "use_bias": False}, "Received: untied_bias=True, use_bias=False"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        MaxoutConv(**{"filters": 4, "kernel_size": 3, "pieces": 2, **wrong})


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 2, 9, 3\)"):
        MaxoutConv(4, 3, 2)(keras.Input((2, 9, 3)))
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 9, 9, None\)"):
        MaxoutConv(4, 3, 2)(keras.Input((9, 9, None)))
    with pytest.raises(ValueError, match="height and width"):
        MaxoutConv(4, 3, 2, untied_bias=True)(keras.Input((9, None, 3)))
    layer = MaxoutConv(4, 3, 2, untied_bias=True)
    layer(np.ones((1, 9, 9, 3), "float32"))
    with pytest.raises(ValueError, match="expected shape"):
        layer(np.ones((1, 9, 8, 3), "float32"))
