"""Layers and models under KERAS_BACKEND=jax, where TensorFlow must not be needed at all.

One child process, in which importing TensorFlow fails, runs every layer, and models that it builds
itself, with the weights and the inputs that this process gave it; outputs and gradients must agree.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns import models
from tfcnns.layers import (
    LRN,
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
    threshold,
)

pytest.importorskip("jax", reason="needs jax: pip install -e .[test]")

CASES = {
    "LRN": (LRN(alpha=0.1), (2, 5, 4, 7)),
    "LRN many channels": (LRN(bias=1.0, alpha=0.1, beta=0.6), (2, 300)),
    "MaxoutDense": (MaxoutDense(4, 3, min_zero=True), (2, 6)),
    "MaxoutConv": (MaxoutConv(4, 3, 2, strides=2, untied_bias=True), (2, 8, 7, 3)),
    "MLPConv": (MLPConv((6, 5, 4), 3, last_activation="tanh"), (2, 8, 7, 3)),
    "MLPConv channels first": (MLPConv((6, 4), 3, data_format="channels_first"), (2, 3, 8, 7)),
    "CeilMaxPooling2D": (CeilMaxPooling2D(4, 2), (2, 9, 8, 3)),
    "CeilMaxPooling2D same": (CeilMaxPooling2D(3, 2), (2, 8, 8, 3)),
    "CeilAveragePooling2D": (
        CeilAveragePooling2D(4, (3, 2), data_format="channels_first"),
        (2, 3, 9, 8),
    ),
    "CeilAveragePooling2D same": (CeilAveragePooling2D(3, 2), (2, 8, 8, 3)),
    "BoxRegressor": (BoxRegressor((6, 5), classes=2, window=3), (2, 5, 6, 3)),
    "BoxRegressor threshold": (BoxRegressor((6,), window=2, activation=threshold), (2, 5, 6, 3)),
    "OffsetMaxPool": (OffsetMaxPool(3), (2, 9, 8, 3)),
    "SameMapNorm": (SameMapNorm(scale=0.5), (2, 7, 6, 3)),
    "ScaledDropout": (ScaledDropout(0.2), (2, 7)),
    "RandomWindow": (RandomWindow(2), (2, 5, 4, 3)),
    "PCALighting": (PCALighting(), (2, 5, 4, 3)),
    "GlobalContrastNormalization": (GlobalContrastNormalization(), (2, 5, 4, 3)),
    "LocalContrastNormalization": (LocalContrastNormalization(5), (2, 8, 9, 3)),
    "LocalConv": (LocalConv(4, (3, 2), strides=2, activation="tanh"), (2, 8, 7, 3)),
    "TowerConv": (TowerConv(4, 3, strides=2, activation="tanh"), (2, 8, 7, 6)),
    "TowerConv connected": (
        TowerConv(6, 3, 3, connected=True, data_format="channels_first"),
        (2, 4, 8, 7),
    ),
    "TowerDense": (TowerDense(4, activation="tanh"), (2, 6)),
    "TowerLRN": (TowerLRN(alpha=0.1, devices=("cpu:0", "cpu:0")), (2, 5, 4, 6)),
    "EachTower": (EachTower(CeilMaxPooling2D(3, 2)), (2, 9, 8, 6)),
    "ZCAWhitening": (ZCAWhitening(), (2, 3, 4, 2)),
    "MeanImage": (MeanImage(), (2, 3, 4, 2)),
}
SMALL = {"width": 0.05, "classifier_activation": None}
MODELS = {  # builders of tfcnns.models and their arguments, which have to be JSON
    "maxout_mnist": {"input_shape": (12, 12, 1), **SMALL},
    # Zeros, as jax compiles each normal distribution of another shape, which takes seconds.
    "nin_cifar10": {"input_shape": (8, 8, 3), "kernel_initializer": "zeros", **SMALL},
}
for name, arguments in MODELS.items():
    model = getattr(models, name)(**arguments)
    CASES[name] = (model, (2, *model.input_shape[1:]))

CHILD = """
import importlib.abc, json, pathlib, sys

class NoTensorFlow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ImportError("TensorFlow is blocked here")

sys.meta_path.insert(0, NoTensorFlow())

import jax, keras, numpy
import tfcnns.layers, tfcnns.models

assert keras.backend.backend() == "jax"
folder = pathlib.Path(sys.argv[1])
for name, config in json.loads((folder / "configs.json").read_text()).items():
    given = numpy.load(folder / f"{name}.npz")
    weights = [given[f"w{i}"] for i in range(len(given.files) - 2)]
    if "builder" in config:
        layer = getattr(tfcnns.models, config["builder"])(**config["arguments"])
    else:
        layer = keras.saving.deserialize_keras_object(config)  # built, as it was
    layer.set_weights(weights)
    loss = lambda x: (layer(x) * given["upstream"]).sum()
    empty = layer(given["x"][:0])
    numpy.savez(
        folder / f"{name} jax.npz",
        y=layer(given["x"]),
        compiled=jax.jit(layer)(given["x"]),
        dx=jax.jit(jax.grad(loss))(given["x"]),
        empty=numpy.array(empty.shape),
    )
assert "tensorflow" not in sys.modules
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds, for each case, what went into the child and what came out."""
    folder = tmp_path_factory.mktemp("jax")
    rng = np.random.default_rng(0)
    configs = {}
    for name, (layer, shape) in CASES.items():
        layer.build(shape)
        scale = 0.3 if name in MODELS else 1  # keeps the sums of whole nets near 1
        layer.set_weights([rng.normal(scale=scale, size=w.shape) for w in layer.weights])
        arrays = {f"w{i}": w for i, w in enumerate(layer.get_weights())}
        arrays["x"] = rng.normal(size=shape)
        arrays["upstream"] = rng.normal(size=layer.compute_output_shape(shape))
        np.savez(folder / name, **{key: value.astype("float32") for key, value in arrays.items()})
        configs[name] = (
            {"builder": name, "arguments": MODELS[name]}
            if name in MODELS
            else keras.saving.serialize_keras_object(layer)
        )
    (folder / "configs.json").write_text(json.dumps(configs))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        cwd=pathlib.Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    return folder


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_tensorflow_backend(folder, name):
    layer, shape = CASES[name]
    given, jax = np.load(folder / f"{name}.npz"), np.load(folder / f"{name} jax.npz")
    x = tf.constant(given["x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    dx = tape.gradient(y, x, output_gradients=given["upstream"])
    np.testing.assert_allclose(jax["y"], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax["compiled"], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax["dx"], dx, rtol=1e-4, atol=1e-5)
    assert tuple(jax["empty"]) == layer.compute_output_shape((0, *shape[1:]))
