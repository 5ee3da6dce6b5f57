"""The box regressor against loops over windows (OverFeat, section 4.2)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import BoxRegressor


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_weights(layer, rng, shape):
    layer.build(shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def regress(x, weights, window):
    """x is (N, h, w, C): each patch, flattened, goes through the fully connected layers."""
    n, height, width, _ = x.shape
    rows = []
    for i in range(height - window + 1):
        row = []
        for j in range(width - window + 1):
            h = x[:, i : i + window, j : j + window].reshape(n, -1)
            for depth, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
                h = h @ kernel.reshape(-1, kernel.shape[-1]) + bias
                if depth < len(weights) // 2 - 1:
                    h = np.maximum(h, 0)
            row.append(h)
        rows.append(np.stack(row, axis=1))
    return np.stack(rows, axis=1)


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("units", [(6, 5), (4,), ()], ids=str)
def test_equals_fully_connected_layers_on_every_window(rng, units, window):
    x = rng.normal(size=(2, 6, 7, 3)).astype("float32")
    layer = with_weights(BoxRegressor(units, window=window), rng, x.shape)
    y = layer(x)
    assert tuple(y.shape) == layer.compute_output_shape(x.shape) == (2, 7 - window, 8 - window, 4)
    np.testing.assert_allclose(y, regress(x, layer.get_weights(), window), rtol=1e-4, atol=1e-4)


def test_each_class_has_a_last_layer_of_its_own(rng):
    x = rng.normal(size=(2, 6, 7, 3)).astype("float32")
    layer = with_weights(BoxRegressor((6, 5), classes=3, window=5), rng, x.shape)
    y = layer(x)
    assert tuple(y.shape) == (2, 2, 3, 3, 4)
    *hidden, kernel, bias = layer.get_weights()
    for c in range(3):
        one = BoxRegressor((6, 5), window=5)
        one.build(x.shape)
        one.set_weights([*hidden, kernel[..., 4 * c : 4 * c + 4], bias[4 * c : 4 * c + 4]])
        np.testing.assert_allclose(y[..., c, :], one(x), rtol=1e-5, atol=1e-5)


def test_the_papers_sizes():
    """Figure 8: pooled maps of 6x7, a 5x5 neighbourhood, 4096 and 1024 units, 4 edges."""
    layer = BoxRegressor(kernel_initializer="zeros", name="it")
    assert layer(keras.Input((6, 7, 1024))).shape == (None, 2, 3, 4)
    assert [tuple(w.shape) for w in layer.weights[::2]] == [
        (5, 5, 1024, 4096),
        (1, 1, 4096, 1024),
        (1, 1, 1024, 4),
    ]
    assert layer.count_params() == 109_061_124
    assert [w.path for w in layer.weights[::2]] == [
        f"it/{name}/kernel" for name in ("fc1", "fc2", "edges")
    ]


def test_edges_are_linear(rng):
    layer = BoxRegressor((4,), window=2)
    x = rng.normal(size=(1, 2, 2, 3)).astype("float32")
    layer.build(x.shape)
    layer.convs[-1].bias.assign([-0.5, -1, 1.5, 2])
    layer.convs[-1].kernel.assign(np.zeros((1, 1, 4, 4)))
    np.testing.assert_array_equal(layer(x)[0, 0, 0], [-0.5, -1, 1.5, 2])


def test_learns_boxes(rng):
    """A blob's place in the window, told from its features by l2 loss alone."""
    places = rng.uniform(0.2, 0.8, size=(256, 2)).astype("float32")
    grid = (np.arange(5) + 0.5) / 5
    x = np.exp(
        -20 * (grid[:, None] - places[:, 1, None, None]) ** 2
        - 20 * (grid[None, :] - places[:, 0, None, None]) ** 2
    )[..., None].astype("float32")
    boxes = np.concatenate([places - 0.1, places + 0.1], axis=1)[:, None, None]
    keras.utils.set_random_seed(0)
    maps = keras.Input((5, 5, 1))
    model = keras.Model(maps, BoxRegressor((32, 16), kernel_initializer="he_normal")(maps))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = model.fit(x, boxes, batch_size=32, epochs=25, verbose=0).history["loss"]
    assert history[-1] < 0.001 < history[0]


def test_layers_of_equal_shape_start_different():
    layer = BoxRegressor((4, 4), window=1, kernel_initializer=keras.initializers.HeNormal(seed=3))
    layer.build((None, 5, 5, 4))
    first, second, _ = (np.asarray(conv.kernel) for conv in layer.convs)
    assert not np.allclose(first, second)


def test_gradients_reach_the_maps_and_all_layers(rng):
    layer = with_weights(BoxRegressor((6, 5), window=2, activation="tanh"), rng, (None, 4, 4, 3))
    x = tf.constant(rng.normal(size=(2, 4, 4, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    for gradient in tape.gradient(y, [x, *layer.trainable_variables]):
        assert np.any(gradient)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": 4096}, "Received: units=4096"),
        ({"units": (4, 0)}, r"Received: units=\(4, 0\)"),
        ({"units": (4, 2.0)}, r"Received: units=\(4, 2.0\)"),
        ({"classes": 0}, "Received: classes=0"),
        ({"window": 0}, "Received: window=0"),
        ({"window": (5, 5)}, r"Received: window=\(5, 5\)"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        BoxRegressor(**wrong)


def test_refuses_maps_below_the_window():
    with pytest.raises(ValueError, match=r"5 x 5 or more.*input_shape=\(None, 4, 9, 3\)"):
        BoxRegressor()(keras.Input((4, 9, 3)))


def test_refuses_unknown_channels():
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 9, 9, None\)"):
        BoxRegressor()(keras.Input((9, 9, None)))
