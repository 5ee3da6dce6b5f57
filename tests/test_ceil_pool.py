"""Ceil-mode pooling against loops, the papers' sizes, and Keras where the two agree."""

import keras
import numpy as np
import pytest
import references_preprocessing as references
import tensorflow as tf

from tfcnns.layers.ceil_pool import CeilAveragePooling2D, CeilMaxPooling2D

# (height, width), pool, stride: valid, same and padded; partial windows on one side and on both.
CASES = [
    ((7, 9), (3, 3), (2, 2)),
    ((8, 8), (3, 3), (2, 2)),
    ((8, 7), (3, 3), (2, 2)),
    ((9, 5), (4, 4), (2, 2)),
    ((10, 7), (4, 3), (4, 1)),
    ((6, 11), (2, 5), (2, 3)),
    ((1, 2), (3, 4), (2, 4)),
]


def maps(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("size", "pool", "step"), CASES)
def test_maximum_equals_the_loop(size, pool, step):
    x = maps(2, *size, 3) - 5  # negative: padding with zeros would show
    layer = CeilMaxPooling2D(pool, step)
    expected = references.ceil_pool(x, pool, step, np.max)
    assert layer.compute_output_shape(x.shape) == expected.shape
    np.testing.assert_array_equal(layer(x), expected)


@pytest.mark.parametrize(("size", "pool", "step"), CASES)
def test_average_equals_the_loop(size, pool, step):
    x = maps(2, *size, 3)
    layer = CeilAveragePooling2D(pool, step)
    expected = references.ceil_pool(x, pool, step, np.mean)
    assert layer.compute_output_shape(x.shape) == expected.shape
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "pool", "stride"),
    [
        ((33, 16), 4, 2),  # maxout on CIFAR-10, first layer
        ((15, 7), 4, 2),
        ((9, 5), 2, 2),
        ((21, 10), 4, 2),  # maxout on MNIST
        ((36, 18), 3, 2),  # maxout on SVHN
        ((32, 16), 3, 2),  # Network in Network
        ((28, 14), 3, 2),
        ((55, 27), 3, 2),  # AlexNet, where the pixels come out even
        ((54, 27), 3, 2),  # Network in Network on ImageNet
    ],
)
def test_sizes_of_the_papers(sizes, pool, stride):
    before, after = sizes
    for layer in (CeilMaxPooling2D(pool, stride), CeilAveragePooling2D(pool, stride)):
        shape = layer.compute_output_shape((None, before, before, 8))
        assert shape == (None, after, after, 8)


@pytest.mark.parametrize(
    ("ours", "reduce"), [(CeilMaxPooling2D, np.max), (CeilAveragePooling2D, np.mean)]
)
def test_sizes_that_are_not_known_ahead(ours, reduce):
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, ours(4, 2)(inputs))
    assert model.output_shape == (None, None, None, 2)
    traced = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 2))])
    for shape in [(1, 9, 8, 2), (2, 3, 4, 2), (0, 5, 6, 2)]:
        x = maps(*shape)
        expected = references.ceil_pool(x, (4, 4), (2, 2), reduce)
        np.testing.assert_allclose(traced(x), expected, rtol=1e-5, atol=1e-6)


def test_whole_windows_are_keras_own():
    x = maps(1, 9, 9, 2)
    np.testing.assert_array_equal(CeilMaxPooling2D(3)(x), keras.layers.MaxPooling2D(3)(x))
    np.testing.assert_array_equal(CeilAveragePooling2D(3)(x), keras.layers.AveragePooling2D(3)(x))


@pytest.mark.parametrize("size", [3, 8, 9])
def test_a_constant_map_stays_constant(size):
    y = CeilAveragePooling2D(4, 2)(np.full((1, size, size, 1), 3.0, "float32"))
    np.testing.assert_allclose(y, np.full(y.shape, 3), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_averages_of_large_halves_are_finite(dtype):
    x = np.full((1, 7, 7, 1), 60000.0, "float32")
    y = keras.ops.cast(CeilAveragePooling2D(4, 2, dtype=dtype)(x), "float32")
    np.testing.assert_allclose(y, np.full(y.shape, 60000), rtol=4e-3)


@pytest.mark.parametrize("ours", [CeilMaxPooling2D, CeilAveragePooling2D])
@pytest.mark.parametrize("size", [(9, 8), (8, 8)])
def test_channels_first_is_the_same_transposed(ours, size):
    x = maps(2, *size, 3)
    layer = ours(3, 2, data_format="channels_first")
    y = layer(np.moveaxis(x, -1, 1))
    assert layer.compute_output_shape((2, 3, *size)) == y.shape
    np.testing.assert_array_equal(np.moveaxis(y, 1, -1), ours(3, 2)(x))


def test_gradients_reach_every_pixel_of_a_partial_window():
    x = tf.constant(np.arange(16, dtype="float32").reshape(1, 4, 4, 1))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        largest, mean = CeilMaxPooling2D(3)(x), CeilAveragePooling2D(3)(x)
    ninth, third = 1 / 9, 1 / 3
    expected = [[ninth] * 3 + [third]] * 3 + [[third] * 3 + [1]]
    np.testing.assert_allclose(tape.gradient(mean, x)[0, :, :, 0], expected, rtol=1e-6)
    expected = np.zeros((4, 4))
    expected[np.ix_([2, 3], [2, 3])] = 1
    np.testing.assert_array_equal(tape.gradient(largest, x)[0, :, :, 0], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_size": 0}, "Received: pool_size=0"),
        ({"pool_size": (2, 2, 2)}, r"Received: pool_size=\(2, 2, 2\)"),
        ({"pool_size": 2.5}, "Received: pool_size=2.5"),
        ({"pool_size": 2, "strides": -1}, "Received: strides=-1"),
        ({"pool_size": (3, 2), "strides": 3}, r"Received: pool_size=\(3, 2\), strides=3"),
        ({"data_format": "NHWC"}, "Received: data_format='NHWC'"),
    ],
)
def test_refuses(arguments, message):
    for ours in (CeilMaxPooling2D, CeilAveragePooling2D):
        with pytest.raises(ValueError, match=message):
            ours(**arguments)


def test_a_pair_survives_json():
    layer = CeilMaxPooling2D((3, 2), (2, 1))
    copy = CeilMaxPooling2D.from_config({**layer.get_config(), "pool_size": [3, 2]})
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_integers_stay_what_they_are(dtype):
    x = np.random.default_rng(0).integers(-120, 120, (2, 9, 8, 3)).astype(dtype)
    y = CeilMaxPooling2D(4, 3)(x)  # 9 pixels make three windows, the last of 3, and 8 of 2
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    for i in range(3):
        for j in range(3):
            window = x[:, 3 * i : 3 * i + 4, 3 * j : 3 * j + 4]
            np.testing.assert_array_equal(y[:, i, j], window.max((1, 2)))


@pytest.mark.parametrize("known", [True, False])
def test_maxima_and_gradients_are_those_of_training(known):
    """Two ways to fill partial windows, one for each mode, in one of which nothing is infinite."""
    x = np.random.default_rng(0).normal(size=(2, 9, 7, 3)).astype("float32") - 5
    layer = CeilMaxPooling2D(3, 3)  # pads none and two
    signature = [tf.TensorSpec(x.shape if known else (None, None, None, 3))]

    def both(x, training):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y**2)
        return y, tape.gradient(loss, x)

    found = []
    for training in (True, False):
        traced = tf.function(lambda x, t=training: both(x, t), input_signature=signature)
        traced = traced.get_concrete_function()
        constants = [n.attr["value"].tensor for n in traced.graph.as_graph_def().node]
        infinite = any(np.isinf(c.float_val).any() for c in constants)
        assert infinite == training
        found.append(traced(tf.constant(x)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
