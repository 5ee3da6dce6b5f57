"""RandomWindow: against all windows there are, how often each comes up, and when."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers.random_window import RandomWindow

H, W = 4, 5
IMAGE = np.arange(1.0, 1 + H * W * 2, dtype="float32").reshape(H, W, 2)  # no value twice, none 0


def all_windows(image, pad, flip=True):
    """{(first row, first column, mirrored): window}, by slicing."""
    windows = {}
    for mirrored in (False, True) if flip else (False,):
        seen = image[:, ::-1] if mirrored else image
        padded = np.pad(seen, [(pad, pad), (pad, pad), (0, 0)])
        for top in range(2 * pad + 1):
            for left in range(2 * pad + 1):
                window = padded[top : top + image.shape[0], left : left + image.shape[1]]
                windows[top, left, mirrored] = window
    return windows


def draws(outputs, image, pad, flip=True):
    """Which window each output is; a KeyError if one is none of them."""
    by_content = {w.tobytes(): key for key, w in all_windows(image, pad, flip).items()}
    return [by_content[output.tobytes()] for output in np.asarray(outputs)]


@pytest.mark.parametrize(("pad", "flip"), [(1, True), (2, False), (0, True)])
def test_every_window_as_often(pad, flip):
    count = 500 * (2 * pad + 1) ** 2 * (1 + flip)
    y = RandomWindow(pad, flip, seed=0)(np.tile(IMAGE, (count, 1, 1, 1)), training=True)
    found = draws(y, IMAGE, pad, flip)
    counts = np.array([found.count(key) for key in all_windows(IMAGE, pad, flip)])
    # Poisson: 500 +- 22 each; the sum of squares is chi-squared.
    assert (np.abs(counts - 500) < 100).all()
    freedom = len(counts) - 1
    chi_squared = ((counts - 500) ** 2 / 500).sum()
    assert chi_squared < freedom + 4 * np.sqrt(2 * freedom)


def test_each_image_of_a_batch_has_its_own():
    x = np.stack([IMAGE + 100 * n for n in range(50)])
    y = np.array(RandomWindow(2, seed=1)(x, training=True))
    found = [draws(y[n : n + 1], x[n], 2)[0] for n in range(50)]
    assert len(set(found)) > 20


def test_a_shift_beyond_the_image_leaves_zeros():
    y = np.array(RandomWindow(20, seed=1)(np.tile(IMAGE, (40, 1, 1, 1)), training=True))
    draws(y, IMAGE, 20)  # of 3362, most of them empty
    assert (y.any(axis=(1, 2, 3))).sum() < 20


def test_nothing_at_inference():
    x = IMAGE[None]
    np.testing.assert_array_equal(RandomWindow(3)(x), x)
    np.testing.assert_array_equal(RandomWindow(3)(x, training=False), x)
    np.testing.assert_array_equal(RandomWindow(0, flip=False)(x, training=True), x)


def test_seeds():
    x = np.tile(IMAGE, (30, 1, 1, 1))
    first, again, other = (RandomWindow(2, seed=seed) for seed in (3, 3, 4))
    y = np.array(first(x, training=True))
    np.testing.assert_array_equal(again(x, training=True), y)
    assert (np.array(other(x, training=True)) != y).any()
    assert (np.array(first(x, training=True)) != y).any()  # a second draw


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_a_new_draw_in_every_step_of_a_graph(compiled):
    layer = RandomWindow(2)
    step = tf.function(
        lambda x: layer(x, training=True),
        jit_compile=compiled,
        input_signature=[tf.TensorSpec((None, None, None, 2))],
    )
    x = np.tile(IMAGE, (30, 1, 1, 1))
    first, second = step(x), step(x)
    assert draws(first, IMAGE, 2) != draws(second, IMAGE, 2)
    assert step(x[:0]).shape == (0, H, W, 2)


def test_gradient_goes_back_to_where_a_pixel_was():
    x = tf.constant(np.tile(IMAGE, (5, 1, 1, 1)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = RandomWindow(1, seed=0)(x, training=True)
        loss = tf.reduce_sum(y**2) / 2
    gradient = np.array(tape.gradient(loss, x))
    for n in range(5):  # each pixel shown has itself as gradient, each one lost has zero
        shown = np.isin(IMAGE, np.array(y[n]))
        np.testing.assert_array_equal(gradient[n], np.where(shown, IMAGE, 0))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_small_floats_draw_the_same(dtype):
    x = np.tile(IMAGE, (9, 1, 1, 1))
    y = RandomWindow(2, seed=5, dtype=dtype)(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == dtype.removeprefix("mixed_")
    exact = RandomWindow(2, seed=5)(x, training=True)
    np.testing.assert_array_equal(keras.ops.cast(y, "float32"), exact)


def test_in_fit():
    images = keras.Input((None, None, 2))
    sums = keras.layers.GlobalMaxPooling2D()(RandomWindow(20, seed=0)(images))
    model = keras.Model(images, keras.layers.Dense(1, kernel_initializer="ones")(sums))
    model.compile("sgd", "mse")
    x, y = np.tile(IMAGE, (32, 1, 1, 1)), np.zeros((32, 1))
    seen = model.evaluate(x, y, verbose=0)
    assert model.fit(x, y, verbose=0, batch_size=32).history["loss"][0] < seen / 2


@pytest.mark.parametrize("pad", [-1, 1.0, True, None])
def test_refuses(pad):
    with pytest.raises(ValueError, match=f"Received: pad={pad}"):
        RandomWindow(pad)
