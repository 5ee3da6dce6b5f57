"""OffsetMaxPool against the loop of OverFeat's section 3.3 and against plain pooling."""

import keras
import numpy as np
import pytest
import references_preprocessing as references
import tensorflow as tf

from tfcnns.layers.offset_max_pool import OffsetMaxPool


def maps(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("shape", "p"), [((2, 8, 11, 3), 3), ((1, 5, 5, 1), 3), ((3, 7, 4, 2), 2), ((1, 4, 3, 2), 1)]
)
def test_equals_the_loop(shape, p):
    x = maps(*shape)
    expected = references.offset_max_pool(x, p)
    layer = OffsetMaxPool(p)
    assert layer.compute_output_shape(shape) == expected.shape
    np.testing.assert_array_equal(layer(x), expected)


def test_a_map_of_nine_numbers():
    x = np.arange(9, dtype="float32").reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(np.ravel(OffsetMaxPool(2)(x)), [4, 5, 7, 8])


def test_each_offset_is_plain_pooling_from_there():
    x = maps(2, 20, 23, 4)
    pooled = np.reshape(OffsetMaxPool(3)(x), (2, 3, 3, 6, 7, 4))
    for dy, dx in np.ndindex(3, 3):
        plain = keras.ops.max_pool(x[:, dy : dy + 18, dx : dx + 21], 3)
        np.testing.assert_array_equal(pooled[:, dy, dx], plain)


@pytest.mark.parametrize(
    ("height", "width", "h", "w"),
    [(17, 17, 5, 5), (20, 23, 6, 7), (23, 29, 7, 9), (29, 35, 9, 11), (32, 38, 10, 12)],
)
def test_sizes_of_the_papers_scales(height, width, h, w):
    shape = OffsetMaxPool(3).compute_output_shape((None, height, width, 1024))
    assert shape == (None, h, w, 1024)


def test_sizes_that_are_not_known_ahead():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, OffsetMaxPool(3)(inputs))
    assert model.output_shape == (None, None, None, 2)
    traced = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 2))])
    for shape in [(1, 8, 11, 2), (2, 6, 5, 2), (0, 9, 9, 2)]:
        x = maps(*shape)
        np.testing.assert_array_equal(traced(x), references.offset_max_pool(x, 3))


def test_channels_first_is_the_same_transposed():
    x = maps(2, 7, 8, 3)
    layer = OffsetMaxPool(3, data_format="channels_first")
    y = layer(np.moveaxis(x, -1, 1))
    assert layer.compute_output_shape((2, 3, 7, 8)) == y.shape
    np.testing.assert_array_equal(np.moveaxis(y, 1, -1), references.offset_max_pool(x, 3))


def test_gradient_counts_the_windows_a_pixel_wins():
    x = tf.constant(np.arange(25, dtype="float32").reshape(1, 5, 5, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = OffsetMaxPool(2)(x)
    gradient = np.zeros((5, 5), "float32")
    gradient[1:, 1:] = 1  # each is the last pixel, and so the largest, of one window
    np.testing.assert_array_equal(tape.gradient(y, x)[0, :, :, 0], gradient)


@pytest.mark.parametrize("pool_size", [0, -1, 2.0, (3, 3)])
def test_refuses_pool_sizes(pool_size):
    with pytest.raises(ValueError, match="Received: pool_size="):
        OffsetMaxPool(pool_size)


def test_refuses_maps_without_room_for_the_last_offset():
    with pytest.raises(ValueError, match=r"5 x 5 or more.*Received: input_shape=\(1, 4, 9, 2\)"):
        OffsetMaxPool(3)(maps(1, 4, 9, 2))
