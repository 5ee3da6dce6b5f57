"""What every layer owes to Keras, checked row by row: a new layer is a new row."""

import json
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import (
    LRN,
    AnyBatchConv2D,
    AnyBatchMaxPooling2D,
    BoxRegressor,
    CeilAveragePooling2D,
    CeilMaxPooling2D,
    EachTower,
    GlobalContrastNormalization,
    LocalContrastNormalization,
    LocalConv,
    MaxoutConv,
    MaxoutDense,
    MeanImage,
    MLPConv,
    OffsetMaxPool,
    PCALighting,
    RandomWindow,
    SameMapNorm,
    ScaledDropout,
    TowerConv,
    TowerDense,
    TowerLRN,
    ZCAWhitening,
)

# Layers with an `adapt` stand here as they are before it: they pass images unchanged.
pytestmark = pytest.mark.filterwarnings("ignore:.* was not adapted:UserWarning")


class Row(NamedTuple):
    layer: type
    arguments: dict
    shape: tuple  # of one example; None where the layer must take any size
    parameters: int  # at the sizes of SIZES

    def build(self, **kwargs):
        """The layer, built for an unknown batch; what is random in it is seeded."""
        keras.utils.set_random_seed(0)
        layer = self.layer(**{**self.arguments, **kwargs})
        layer.build((None, *self.shape))
        return layer

    def inputs(self, batch=3, sizes=(9, 8)):
        """Random numbers for the layer, with `sizes` where the shape has None."""
        sizes = iter(sizes)
        shape = [next(sizes) if size is None else size for size in self.shape]
        return np.random.default_rng(1).normal(size=(batch, *shape)).astype("float32")


DILATED = {"dilation_rate": 2, "use_bias": False, "kernel_constraint": "unit_norm"}
REGULARIZED = {"kernel_regularizer": "l2", "activity_regularizer": "l2", "min_zero": True}
EACH_ITS_OWN = {"kernel_initializer": ["he_normal", keras.initializers.RandomNormal(0, 0.01)]}
FIRST = {"data_format": "channels_first"}

ROWS = {
    "AnyBatchConv2D": Row(
        AnyBatchConv2D, {"filters": 4, "kernel_size": (3, 2), "activation": "relu"}, (9, 8, 3), 76
    ),
    "AnyBatchConv2D same": Row(
        AnyBatchConv2D,
        {"filters": 4, "kernel_size": (3, 3), "padding": "same", "strides": (2, 2)},
        (None, None, 3),
        112,
    ),
    "AnyBatchMaxPooling2D": Row(AnyBatchMaxPooling2D, {"pool_size": (2, 2)}, (None, None, 3), 0),
    "LRN": Row(LRN, {}, (None, None, 7), 0),
    "LRN few channels": Row(LRN, {"depth_radius": 5, "alpha": 0.1}, (None, None, 3), 0),
    "LRN many channels": Row(LRN, {"bias": 1.0, "beta": 0.6}, (300,), 0),
    "LRN channels first": Row(LRN, {"alpha": 0.1, **FIRST}, (5, None, None), 0),
    "MaxoutDense": Row(MaxoutDense, {"units": 4, "pieces": 3}, (5,), 72),
    "MaxoutDense 3-D": Row(
        MaxoutDense, {"units": 4, "pieces": 1, "use_bias": False, **REGULARIZED}, (None, 5), 20
    ),
    "MaxoutConv": Row(
        MaxoutConv, {"filters": 4, "kernel_size": 3, "pieces": 2}, (None, None, 3), 224
    ),
    "MaxoutConv strides": Row(
        MaxoutConv,
        {"filters": 4, "kernel_size": (2, 3), "pieces": 3, "strides": 2, "padding": "same"},
        (None, None, 3),
        228,
    ),
    "MaxoutConv dilated": Row(
        MaxoutConv, {"filters": 4, "kernel_size": 3, "pieces": 2, **DILATED}, (None, None, 3), 216
    ),
    "MaxoutConv channels first": Row(
        MaxoutConv,
        {"filters": 4, "kernel_size": 3, "pieces": 2, **FIRST, **REGULARIZED},
        (3, None, None),
        224,
    ),
    "MaxoutConv untied": Row(
        MaxoutConv,
        {"filters": 4, "kernel_size": 3, "pieces": 2, "untied_bias": True},
        (7, 6, 3),
        216 + 5 * 4 * 8,
    ),
    "MLPConv": Row(MLPConv, {"filters": (6, 5, 4), "kernel_size": 3}, (None, None, 3), 227),
    "MLPConv strides": Row(
        MLPConv,
        {
            "filters": [6, 4],
            "kernel_size": 2,
            "strides": (2, 3),
            "padding": "valid",
            **EACH_ITS_OWN,
        },
        (None, None, 3),
        106,
    ),
    "MLPConv dilated": Row(
        MLPConv,
        {"filters": (6, 4), "kernel_size": 3, "last_activation": None, **DILATED},
        (None, None, 3),
        186,
    ),
    "MLPConv channels first": Row(
        MLPConv, {"filters": (4,), "kernel_size": 3, **FIRST}, (3, None, None), 112
    ),
    "CeilMaxPooling2D": Row(CeilMaxPooling2D, {"pool_size": 3, "strides": 2}, (None, None, 3), 0),
    "CeilMaxPooling2D channels first": Row(
        CeilMaxPooling2D, {"pool_size": (4, 3), **FIRST}, (3, None, None), 0
    ),
    "CeilAveragePooling2D": Row(
        CeilAveragePooling2D, {"pool_size": 4, "strides": (3, 2)}, (None, None, 3), 0
    ),
    "CeilAveragePooling2D channels first": Row(
        CeilAveragePooling2D, {"pool_size": 3, "strides": 2, **FIRST}, (3, None, None), 0
    ),
    "MeanImage": Row(MeanImage, {}, (7, 6, 3), 7 * 6 * 3),
    "BoxRegressor": Row(BoxRegressor, {"units": (6, 5), "window": 3}, (None, None, 3), 227),
    "BoxRegressor per class": Row(
        BoxRegressor,
        {"units": [4], "classes": 2, "window": 2, "activation": "tanh", "kernel_regularizer": "l2"},
        (None, None, 3),
        92,
    ),
    "OffsetMaxPool": Row(OffsetMaxPool, {"pool_size": 3}, (None, None, 3), 0),
    "OffsetMaxPool channels first": Row(
        OffsetMaxPool, {"pool_size": 2, **FIRST}, (3, None, None), 0
    ),
    "SameMapNorm": Row(SameMapNorm, {"scale": 0.5}, (None, None, 3), 0),
    "SameMapNorm channels first": Row(
        SameMapNorm, {"size": 4, "power": 0.5, "bias": 2.0, **FIRST}, (3, None, None), 0
    ),
    "ScaledDropout": Row(ScaledDropout, {"rate": 0.2, "scale": 1.5, "seed": 1}, (None,), 0),
    "RandomWindow": Row(RandomWindow, {"pad": 2, "flip": False, "seed": 1}, (None, None, 3), 0),
    "PCALighting": Row(PCALighting, {"variant": "code", "seed": 1}, (None, None, 3), 12),
    "GlobalContrastNormalization": Row(GlobalContrastNormalization, {}, (None, None, 3), 0),
    "GlobalContrastNormalization std": Row(
        GlobalContrastNormalization,
        {"scale": 1.0, "subtract_mean": False, "use_std": True, "sqrt_bias": 10.0},
        (None, None, 3),
        0,
    ),
    "LocalContrastNormalization": Row(
        LocalContrastNormalization, {"kernel_size": 5, "threshold": 0.01}, (None, None, 3), 0
    ),
    "LocalConv": Row(LocalConv, {"filters": 4, "kernel_size": 3}, (7, 6, 3), 42 * (108 + 4)),
    "LocalConv strides": Row(
        LocalConv,
        {
            "filters": 4,
            "kernel_size": (2, 3),
            "padding": "valid",
            "strides": (2, 1),
            "activation": "tanh",
            "use_bias": False,
            "kernel_initializer": "he_normal",
            "kernel_regularizer": "l2",
            "activity_regularizer": "l2",
        },
        (7, 6, 3),
        12 * 72,
    ),
    "LocalConv channels first": Row(
        LocalConv, {"filters": 4, "kernel_size": 3, **FIRST}, (3, 7, 6), 42 * (108 + 4)
    ),
    "TowerConv": Row(TowerConv, {"filters": 4, "kernel_size": 3}, (None, None, 6), 112),
    "TowerConv strides": Row(
        TowerConv,
        {
            "filters": 6,
            "kernel_size": (2, 3),
            "towers": 3,
            "connected": True,
            "strides": 2,
            "padding": "valid",
            "activation": "tanh",
            "kernel_regularizer": "l2",
            "activity_regularizer": "l2",
        },
        (None, None, 3),
        114,
    ),
    "TowerConv dilated": Row(
        TowerConv, {"filters": 4, "kernel_size": 3, **DILATED}, (None, None, 4), 72
    ),
    "TowerConv channels first": Row(
        TowerConv, {"filters": 4, "kernel_size": 3, "towers": 1, **FIRST}, (3, None, None), 112
    ),
    "TowerConv devices": Row(
        TowerConv,
        {"filters": 4, "kernel_size": 3, "devices": ("cpu:0", "cpu:0")},
        (None, None, 6),
        112,
    ),
    "TowerDense": Row(TowerDense, {"units": 4, "activation": "tanh"}, (5,), 24),
    "TowerDense 3-D": Row(TowerDense, {"units": 6, "towers": 3, "use_bias": False}, (None, 5), 30),
    "TowerDense devices": Row(TowerDense, {"units": 4, "devices": ["cpu:0", "cpu:0"]}, (5,), 24),
    "TowerLRN": Row(TowerLRN, {"alpha": 0.1, "towers": 3}, (None, None, 6), 0),
    "TowerLRN devices": Row(
        TowerLRN, {"alpha": 0.1, "devices": ("cpu:0", "cpu:0"), **FIRST}, (6, None, None), 0
    ),
    "EachTower": Row(
        EachTower,
        {"layer": CeilMaxPooling2D(3, 2), "devices": ("cpu:0", "cpu:0")},
        (None, None, 6),
        0,
    ),
    "ZCAWhitening": Row(ZCAWhitening, {"filter_bias": 0.2}, (3, 4, 2), 24 + 2 * 24 * 24),
}


@pytest.fixture(params=ROWS.values(), ids=ROWS.keys())
def row(request):
    return request.param


def test_config_round_trip(row):
    layer = row.layer(**row.arguments, name="it")
    config = layer.get_config()
    layer.build((None, *row.shape))
    layer(row.inputs())
    assert layer.get_config() == config
    again = row.layer.from_config(config)
    assert again.get_config() == config
    assert again.name == "it"


def test_constructor_arguments_are_kept(row):
    config = row.build().get_config()
    for name, value in row.arguments.items():
        if isinstance(value, (int, float, tuple, bool)):
            assert config[name] == value


def test_registered_under_the_package(row):
    assert keras.saving.get_registered_name(row.layer) == f"tfcnns>{row.layer.__name__}"


def test_weight_count_and_names(row):
    layer = row.build(name="it")
    assert layer.count_params() == row.parameters
    assert all(w.path.startswith("it/") for w in layer.weights)
    assert layer.trainable_weights == ([] if hasattr(layer, "adapt") else layer.weights)
    frozen = row.build(trainable=False)
    assert frozen.trainable_variables == []


@pytest.mark.parametrize("sizes", [(9, 8), (5, 11)])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_output_shape(row, sizes, batch):
    layer = row.layer(**row.arguments)
    x = row.inputs(batch, sizes)
    promised = layer.compute_output_shape(x.shape)
    assert tuple(layer(x).shape) == promised
    assert tuple(tf.function(layer)(x).shape) == promised
    unknown = layer.compute_output_shape((None, *row.shape))
    assert tuple(layer(keras.Input(row.shape)).shape) == unknown
    for size, known in zip(unknown, promised, strict=True):
        assert size in (None, known)


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_symbolic_and_compiled_equal_eager(row, compiled):
    layer = row.build()
    images = keras.Input(row.shape)
    model = keras.Model(images, layer(images))

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x)
            loss = tf.reduce_sum(y * tf.sin(y))
        return y, tape.gradient(loss, [x, *layer.trainable_variables])

    signature = [tf.TensorSpec((None, *row.shape))]
    traced = tf.function(step, jit_compile=compiled, input_signature=signature)
    for batch in (3, 0):
        x = tf.constant(row.inputs(batch))
        np.testing.assert_allclose(model(x), layer(x), rtol=1e-6)
        for there, here in zip(tf.nest.flatten(traced(x)), tf.nest.flatten(step(x)), strict=True):
            np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


def test_a_graph_for_inference_takes_no_image_at_all(row):
    """Without a gradient TensorFlow fuses what a convolution stands between, on CPUs."""
    layer = row.build()
    signature = [tf.TensorSpec((None, *row.shape))]
    traced = tf.function(lambda x: layer(x, training=False), input_signature=signature)
    for batch in (0, 3):
        x = row.inputs(batch)
        y = traced(x)
        assert tuple(y.shape) == layer.compute_output_shape(x.shape)
        np.testing.assert_allclose(y, layer(x), rtol=1e-5, atol=1e-6)  # sums in another order


def test_pixels_in_bytes_are_numbers(row):
    """As those in float32; random layers do nothing to images that aren't trained on."""
    layer = row.build()
    x = (np.abs(row.inputs()) * 50).astype("uint8")
    np.testing.assert_allclose(layer(x), layer(x.astype("float32")), rtol=1e-6)


def as_numpy(value):
    """Settings as NumPy's scalars, those in tuples and lists too."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(as_numpy, value))
    kinds = {bool: np.bool_, int: np.int64, float: np.float64}
    return kinds.get(type(value), lambda value: value)(value)


def test_numpy_scalars_are_the_numbers_that_they_are(row):
    plain = row.layer(**row.arguments, name="it")
    layer = row.layer(**{k: as_numpy(v) for k, v in row.arguments.items()}, name="it")
    assert json.dumps(layer.get_config()) == json.dumps(plain.get_config())
    x = row.inputs()
    plain(x)
    layer(x)
    layer.set_weights(plain.get_weights())
    np.testing.assert_array_equal(layer(x), plain(x))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize:UserWarning")
def test_quantized_files_are_what_was_saved(row, tmp_path):
    images = keras.Input(row.shape)
    model = keras.Model(images, row.build()(images))
    x = row.inputs()
    before = model.predict_on_batch(x)
    model.quantize("int8")
    after = model.predict_on_batch(x)
    assert np.array_equal(before, after) == (row.layer is not TowerDense)
    # Weights and inputs are rounded to 1 / 127 of the largest.
    np.testing.assert_allclose(after, before, atol=0.05)
    model.save(tmp_path / "it.keras")
    again = keras.saving.load_model(tmp_path / "it.keras", safe_mode=True)
    assert [w.dtype for w in again.weights] == [w.dtype for w in model.weights]
    np.testing.assert_array_equal(again.predict_on_batch(x), after)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.05)]
)
def test_mixed_precision(row, policy, tolerance):
    exact, rounded = row.build(), row.build(dtype=policy)
    x = row.inputs()
    y = rounded(x)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert all(w.dtype == "float32" for w in rounded.weights)
    np.testing.assert_allclose(
        keras.ops.cast(y, "float32"), exact(x), rtol=tolerance, atol=tolerance
    )


def test_save_and_load(row, tmp_path):
    images = keras.Input(row.shape)
    model = keras.Model(images, row.build()(images))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert again.layers[-1].get_config() == model.layers[-1].get_config()
    np.testing.assert_array_equal(again(row.inputs()), model(row.inputs()))
    again.save_weights(tmp_path / "it.weights.h5")
    model.load_weights(tmp_path / "it.weights.h5")


@pytest.mark.parametrize(
    "name",
    [name for name, row in ROWS.items() if row.parameters and not hasattr(row.layer, "adapt")],
)
def test_fit(name):
    row = ROWS[name]
    x = row.inputs(batch=4)
    layer = row.build()
    before = layer.get_weights()
    images = keras.Input(row.shape)
    model = keras.Model(images, layer(images))
    model.compile("sgd", "mse")
    y = np.ones(layer.compute_output_shape(x.shape), "float32")
    loss = model.fit(x, y, batch_size=3, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert not np.array_equal(old, new)
