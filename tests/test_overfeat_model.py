"""The OverFeat builder against the literal numbers of the paper's tables."""

import keras
import numpy as np
import pytest

from tfcnns.layers import OffsetMaxPool, threshold
from tfcnns.models import overfeat

SMALL = {"fast": 0.02, "accurate": 0.02, "digits": 0.2}
WINDOWS = {"fast": 231, "accurate": 221, "digits": 32}
UNPADDED_WINDOWS = {"fast": 327, "accurate": 317, "digits": 48}
STRIDES = {"fast": 32, "accurate": 36, "digits": 8}

# (layer, channels, kernel, stride, zeros on each side, height and width of its output)
TABLES = {
    "fast": [
        ("conv1", 96, 11, 4, 0, 56),
        ("pool1", 96, 2, 2, 0, 28),
        ("conv2", 256, 5, 1, 0, 24),
        ("pool2", 256, 2, 2, 0, 12),
        ("conv3", 512, 3, 1, 1, 12),
        ("conv4", 1024, 3, 1, 1, 12),
        ("conv5", 1024, 3, 1, 1, 12),
        ("pool5", 1024, 2, 2, 0, 6),
        ("fc6", 3072, 6, 1, 0, 1),
        ("fc7", 4096, 1, 1, 0, 1),
        ("fc8", 1000, 1, 1, 0, 1),
    ],
    "accurate": [
        ("conv1", 96, 7, 2, 0, 108),
        ("pool1", 96, 3, 3, 0, 36),
        ("conv2", 256, 7, 1, 0, 30),
        ("pool2", 256, 2, 2, 0, 15),
        ("conv3", 512, 3, 1, 1, 15),
        ("conv4", 512, 3, 1, 1, 15),
        ("conv5", 1024, 3, 1, 1, 15),
        ("conv6", 1024, 3, 1, 1, 15),
        ("pool6", 1024, 3, 3, 0, 5),
        ("fc7", 4096, 5, 1, 0, 1),
        ("fc8", 4096, 1, 1, 0, 1),
        ("fc9", 1000, 1, 1, 0, 1),
    ],
    "digits": [
        ("conv1", 32, 5, 1, 0, 28),
        ("pool1", 32, 2, 2, 0, 14),
        ("conv2", 64, 3, 1, 0, 12),
        ("pool2", 64, 2, 2, 0, 6),
        ("conv3", 96, 3, 1, 1, 6),
        ("conv4", 96, 3, 1, 1, 6),
        ("pool4", 96, 2, 2, 0, 3),
        ("fc5", 128, 3, 1, 0, 1),
        ("fc6", 128, 1, 1, 0, 1),
        ("fc7", 10, 1, 1, 0, 1),
    ],
}


def small(variant, **kwargs):
    """A narrow net with random weights and biases, which say more than small ones."""
    keras.utils.set_random_seed(0)
    kwargs = {"width": SMALL[variant], "kernel_initializer": "he_normal", **kwargs}
    model = overfeat(variant, **{"classes": 5, **kwargs})
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(rng.normal(scale=0.1, size=weight.shape))
    return model


def images(variant, height, width, batch=1):
    channels = 1 if variant == "digits" else 3
    return np.random.default_rng(1).normal(size=(batch, height, width, channels)).astype("float32")


@pytest.mark.parametrize("variant", TABLES)
def test_layers_and_sizes_of_the_tables(variant):
    side, channels = WINDOWS[variant], 1 if variant == "digits" else 3
    model = overfeat(variant, input_shape=(side, side, channels), kernel_initializer="zeros")
    table = TABLES[variant]
    hidden = [f"drop{name[2:]}" for name, *_ in table[-3:-1]]
    assert [layer.name for layer in model.layers] == [
        "image",
        *(name for name, *_ in table[:-2]),
        hidden[0],
        table[-2][0],
        hidden[1],
        table[-1][0],
        "classifier",
    ]
    for name, filters, kernel, stride, zeros, size in table:
        layer = model.get_layer(name)
        config = layer.get_config()
        assert layer.output.shape == (None, size, size, filters), name
        assert config.get("kernel_size", config.get("pool_size")) == (kernel, kernel), name
        assert config["strides"] == (stride, stride), name
        assert config["padding"] == ("same" if zeros else "valid"), name
        if "activation" in config:
            assert config["activation"] == ("linear" if name == table[-1][0] else "relu"), name
    assert [model.get_layer(name).rate for name in hidden] == [0.5, 0.5]
    assert model.output.shape == (None, 1, 1, table[-1][1])


@pytest.mark.parametrize(
    ("variant", "head", "parameters"),
    [
        ("fast", "classifier", 145_920_872),
        ("fast", "regressor", 171_186_052),
        ("accurate", "classifier", 144_656_488),
        ("accurate", "regressor", 127_977_604),
        ("accurate", "both", 253_717_612),
        ("digits", "classifier", 286_282),
        ("digits", "regressor", 412_612),
    ],
)
def test_parameters(variant, head, parameters):
    for padding in ("same", "valid"):
        model = overfeat(variant, head=head, padding=padding, kernel_initializer="zeros")
        assert model.count_params() == parameters


@pytest.mark.parametrize(
    ("size", "last_maps", "pooled", "output"),
    [
        ((245, 245), (17, 17), (5, 5), (1, 1)),
        ((281, 317), (20, 23), (6, 7), (2, 3)),
        ((317, 389), (23, 29), (7, 9), (3, 5)),
        ((389, 461), (29, 35), (9, 11), (5, 7)),
        ((425, 497), (32, 38), (10, 12), (6, 8)),  # printed as 32x35, against its own 18x24
        ((461, 569), (35, 44), (11, 14), (7, 10)),
    ],
)
def test_table_5(size, last_maps, pooled, output):
    model = overfeat("accurate", input_shape=(*size, 3), width=0.01, head="both")
    maps = model.get_layer("conv6").output
    assert maps.shape[1:3] == last_maps
    assert OffsetMaxPool(3)(maps).shape[1:3] == pooled
    assert model.output["classifier"].shape[1:3] == output
    assert model.output["boxes"].shape == (None, *output, 4)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("variant", TABLES)
def test_the_window_is_the_smallest_image(variant, padding):
    side = (WINDOWS if padding == "same" else UNPADDED_WINDOWS)[variant]
    channels = 1 if variant == "digits" else 3
    settings = {"padding": padding, "width": SMALL[variant], "head": "both"}
    for more in (0, STRIDES[variant] - 1, STRIDES[variant]):
        model = overfeat(variant, input_shape=(side, side + more, channels), **settings)
        size = (1, 1 if more < STRIDES[variant] else 2)
        assert model.output["classifier"].shape[1:3] == size
        assert model.output["boxes"].shape[1:3] == size
    with pytest.raises(ValueError, match=rf"{side} x {side} pixels.*Received: input_shape="):
        overfeat(variant, input_shape=(side - 1, None, channels), **settings)


@pytest.mark.parametrize("variant", TABLES)
def test_an_unpadded_net_sees_an_image_as_its_windows(variant):
    model = small(variant, padding="valid", head="both")
    side, stride = UNPADDED_WINDOWS[variant], STRIDES[variant]
    image = images(variant, side + stride + 3, side + 2 * stride)
    whole = {key: np.asarray(value) for key, value in model(image).items()}
    assert whole["classifier"].shape == (1, 2, 3, 5)
    for i in range(2):
        for j in range(3):
            top, left = i * stride, j * stride
            crop = image[:, top : top + side, left : left + side]
            for key, value in model(crop).items():
                np.testing.assert_allclose(value[0, 0, 0], whole[key][0, i, j], atol=1e-4)


@pytest.mark.parametrize("variant", TABLES)
def test_a_padded_net_sees_the_windows_neighbours(variant):
    """Zeros stand at the image's edge only: the paper's own approximation."""
    model = small(variant)
    side, stride = WINDOWS[variant], STRIDES[variant]
    image = images(variant, side, side + stride)
    whole, crop = model(image), model(image[:, :, :side])
    assert whole.shape == (1, 1, 2, 5)
    assert not np.allclose(whole[0, 0, 0], crop[0, 0, 0], atol=1e-4)


def test_weights_move_between_heads_and_paddings():
    classifier = small("digits", padding="valid")
    both = overfeat("digits", classes=5, head="both", width=SMALL["digits"])
    for layer in classifier.layers:
        both.get_layer(layer.name).set_weights(layer.get_weights())
    same = overfeat("digits", classes=5, width=SMALL["digits"])
    same.set_weights(classifier.get_weights())
    image = images("digits", 40, 48)
    np.testing.assert_allclose(both(image)["classifier"], same(image), atol=1e-6)


def test_outputs_of_the_heads():
    image = images("digits", 40, 48, batch=2)
    scores = small("digits")(image)
    assert scores.shape == (2, 2, 3, 5)
    np.testing.assert_allclose(keras.ops.sum(scores, axis=-1), np.ones((2, 2, 3)), rtol=1e-5)
    logits = small("digits", classifier_activation=None)(image)
    np.testing.assert_allclose(keras.ops.softmax(logits), scores, atol=1e-6)
    assert small("digits", head="regressor")(image).shape == (2, 2, 3, 4)
    assert small("digits", head="regressor", boxes_per_class=True)(image).shape == (2, 2, 3, 5, 4)
    both = small("digits", head="both", boxes_per_class=True)(image)
    assert {key: value.shape for key, value in both.items()} == {
        "classifier": (2, 2, 3, 5),
        "boxes": (2, 2, 3, 5, 4),
    }


def test_classes_and_channels_by_default():
    for variant, classes, channels in [("fast", 1000, 3), ("accurate", 1000, 3), ("digits", 10, 1)]:
        model = overfeat(variant, width=0.01)
        assert model.input.shape == (None, None, None, channels)
        assert model.output.shape == (None, None, None, classes)
        assert model.name == f"overfeat_{variant}"
    assert overfeat("digits", classes=11).output.shape[-1] == 11


def test_initial_weights_are_the_papers():
    model = overfeat("accurate", width=0.2, head="both")
    for name in ("conv2", "conv5", "fc7", "fc8"):
        kernel = np.asarray(model.get_layer(name).kernel)
        np.testing.assert_allclose([kernel.mean(), kernel.std()], [0, 0.01], atol=2e-4)
        assert not np.any(model.get_layer(name).bias)
    kernel = np.asarray(model.get_layer("regressor").convs[0].kernel)
    np.testing.assert_allclose([kernel.mean(), kernel.std()], [0, 0.01], atol=2e-4)


@pytest.mark.parametrize("given", ["he_normal", keras.initializers.HeNormal()], ids=["name", "one"])
def test_layers_of_equal_shape_start_different(given):
    model = overfeat("digits", width=1 / 96, kernel_initializer=given)  # conv3, conv4: 3x3x1x1
    third, fourth = (np.asarray(model.get_layer(name).kernel) for name in ("conv3", "conv4"))
    assert third.shape == fourth.shape
    assert not np.allclose(third, fourth)


def test_dropout_in_training_only():
    model = small("digits", classifier_activation=None)
    image = images("digits", 32, 32)
    np.testing.assert_array_equal(model(image), model(image))
    assert not np.allclose(model(image, training=True), model(image), atol=1e-3)
    still = small("digits", dropout=0.0)
    np.testing.assert_array_equal(still(image, training=True), still(image))


@pytest.mark.parametrize("activation", ["threshold", threshold], ids=["name", "function"])
def test_threshold_option_survives_saving(tmp_path, activation):
    scale = keras.layers.Rescaling(1 / 255, name="scale")
    model = small("digits", activation=activation, head="both", preprocessing=[scale])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for name in ("conv1", "conv4", "fc5", "fc6", "regressor"):
        assert again.get_layer(name).activation is threshold
    assert again.get_layer("fc7").activation is keras.activations.linear
    image = images("digits", 40, 41)
    for key, value in model(image).items():
        np.testing.assert_array_equal(again(image)[key], value)
    dead = np.zeros((1, 32, 32, 1), "float32")
    features = keras.Model(model.input, model.get_layer("conv1").output)
    assert np.min(features(dead)) == np.float32(1e-6)


def test_mixed_precision_ends_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small("digits", head="both")
    finally:
        keras.config.set_dtype_policy("float32")
    image = images("digits", 32, 40)
    exact = small("digits", head="both")
    exact.set_weights(model.get_weights())
    for key, value in model(image).items():
        assert value.dtype == "float32"
        np.testing.assert_allclose(value, exact(image)[key], atol=0.02 * np.ptp(exact(image)[key]))
    assert model.get_layer("conv3").compute_dtype == "bfloat16"


def test_trains_both_heads():
    model = small("digits", head="both", dropout=0.0)
    model.compile(
        keras.optimizers.Adam(0.003),
        {"classifier": "sparse_categorical_crossentropy", "boxes": "mse"},
    )
    labels = np.arange(10)[:, None, None] % 5
    image = images("digits", 32, 32, batch=10)
    boxes = np.tile(np.float32([0.2, 0.2, 0.8, 0.8]), (10, 1, 1, 1))
    targets = {"classifier": labels, "boxes": boxes}
    loss = model.fit(image, targets, epochs=30, batch_size=10, verbose=0).history["loss"]
    assert loss[-1] < loss[0] / 3
    assert np.mean(np.argmax(model(image)["classifier"], -1) == labels) > 0.8


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"variant": "slow"}, "Received: variant='slow'"),
        ({"head": "detector"}, "Received: head='detector'"),
        ({"padding": "full"}, "Received: padding='full'"),
        ({"width": 0}, "Received: width=0"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        overfeat(**wrong)
