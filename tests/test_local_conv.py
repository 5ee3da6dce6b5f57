"""Unshared convolution against loops, and against keras.layers.Conv2D where weights are equal."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import LocalConv


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def local_conv(x, kernel, bias, strides, padding):
    """x is (N, H, W, C), kernel is (h, w, kh, kw, C, F); "same" pads the odd pixel at the end."""
    h, w, kh, kw, _, filters = kernel.shape
    if padding == "same":
        for axis, (count, length, stride) in enumerate(((h, kh, strides[0]), (w, kw, strides[1]))):
            missing = max((count - 1) * stride + length - x.shape[1 + axis], 0)
            margins = [(0, 0)] * 4
            margins[1 + axis] = (missing // 2, missing - missing // 2)
            x = np.pad(x, margins)
    z = np.empty((len(x), h, w, filters))
    for row in range(h):
        for column in range(w):
            for f in range(filters):
                top, left = row * strides[0], column * strides[1]
                patch = x[:, top : top + kh, left : left + kw]
                weights = kernel[row, column, :, :, :, f]
                z[:, row, column, f] = (patch * weights).sum((1, 2, 3)) + bias[row, column, f]
    return z


def with_weights(layer, rng, input_shape):
    layer.build(input_shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel_size", [3, (2, 3), 1])
@pytest.mark.parametrize("strides", [1, (2, 1), 3])
def test_equals_the_loops(rng, padding, kernel_size, strides):
    layer = LocalConv(4, kernel_size, padding, strides)
    x = rng.normal(size=(2, 7, 6, 3)).astype("float32")
    with_weights(layer, rng, x.shape)
    pair = np.broadcast_to(strides, 2)
    kernel, bias = (np.asarray(w) for w in layer.weights)
    y = layer(x)
    assert tuple(y.shape) == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, local_conv(x, kernel, bias, pair, padding), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
def test_with_equal_weights_it_is_a_conv2d_also_in_its_gradients(rng, padding, strides):
    settings = {"padding": padding, "strides": strides, "activation": "tanh"}
    layer, conv = LocalConv(4, 3, **settings), keras.layers.Conv2D(4, 3, **settings)
    x = tf.constant(rng.normal(size=(2, 8, 7, 3)), "float32")
    conv.build(x.shape)
    layer.build(x.shape)
    weights = [0.3 * rng.normal(size=w.shape) for w in conv.weights]
    conv.set_weights(weights)
    shapes = [w.shape for w in layer.weights]
    layer.set_weights([np.broadcast_to(w, s) for w, s in zip(weights, shapes, strict=True)])

    upstream = rng.normal(size=layer.compute_output_shape(x.shape)).astype("float32")
    results = []
    for one in (layer, conv):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = one(x)
        gradients = tape.gradient(y, [x, *one.trainable_variables], output_gradients=upstream)
        results.append([y, *gradients])
    ours, theirs = results
    ours[2:] = [tf.reduce_sum(gradient, (0, 1)) for gradient in ours[2:]]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


def test_each_position_has_its_own_weights(rng):
    layer = LocalConv(2, 3)
    x = rng.normal(size=(1, 5, 5, 3)).astype("float32")
    with_weights(layer, rng, x.shape)
    before = layer(x).numpy()
    kernel = np.array(layer.kernel)
    kernel[1, 3] += 1
    layer.kernel.assign(kernel)
    changed = np.any(layer(x).numpy() != before, axis=(0, 3))
    assert np.argwhere(changed).tolist() == [[1, 3]]


def test_weights_on_the_padding_get_no_gradient(rng):
    layer = LocalConv(2, 3)
    x = tf.constant(rng.normal(size=(4, 5, 5, 3)), "float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradient = tape.gradient(loss, layer.trainable_variables)[0].numpy()
    assert not gradient[0, :, 0].any()
    assert not gradient[:, -1, :, 2].any()
    assert gradient[1:-1, 1:-1].all()


@pytest.mark.parametrize("seed", [None, 7])
def test_positions_start_different_each_like_a_conv2d(seed):
    keras.utils.set_random_seed(1)
    layer = LocalConv(40, 3, kernel_initializer=keras.initializers.GlorotUniform(seed))
    layer.build((None, 6, 5, 20))
    kernels = np.asarray(layer.kernel).reshape(30, -1)
    assert len(np.unique(kernels[:, 0])) == 30
    bound = np.sqrt(6 / (9 * 20 + 9 * 40))
    assert 0.99 * bound < np.abs(kernels).max() <= bound
    assert np.abs(np.corrcoef(kernels) - np.eye(30)).max() < 0.06  # 5 / sqrt(7,200)


def test_a_seed_gives_the_first_position_what_it_gives_a_conv2d():
    start = {"kernel_initializer": keras.initializers.RandomNormal(0, 0.04, seed=3)}
    layer, conv = LocalConv(4, 3, **start), keras.layers.Conv2D(4, 3, **start)
    layer.build((None, 6, 6, 3))
    conv.build((None, 6, 6, 3))
    np.testing.assert_array_equal(layer.kernel[0, 0], conv.kernel)


def test_channels_first_is_the_transpose(rng):
    last = LocalConv(4, 3, strides=2, activation="relu")
    with_weights(last, rng, (None, 7, 8, 3))
    first = LocalConv(4, 3, strides=2, activation="relu", data_format="channels_first")
    first.build((None, 3, 7, 8))
    first.set_weights(last.get_weights())
    x = rng.normal(size=(2, 7, 8, 3)).astype("float32")
    np.testing.assert_allclose(
        np.moveaxis(first(np.moveaxis(x, -1, 1)), 1, -1), last(x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"filters": 0}, None, "`filters` must be a positive integer. Received: filters=0"),
        ({"padding": "causal"}, None, r"one of \('same', 'valid'\)\. Received: padding='causal'"),
        ({"kernel_size": (3, 3, 3)}, None, "Received: kernel_size=\\(3, 3, 3\\)"),
        ({"strides": 0}, None, "`strides` must be a positive integer or a pair"),
        ({}, (None, 6, 3), "size of its input. Received: input_shape=\\(None, None, 6, 3\\)"),
        ({"padding": "valid"}, (2, 6, 3), "must fit into the input. Received"),
        ({}, (6, 3), "expected ndim=4"),
    ],
)
def test_refuses(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        LocalConv(**{"filters": 4, "kernel_size": 3, **arguments})(keras.Input(shape or (5, 5, 3)))
