"""Where Keras is set to channels first: models and scripts are what they are, layers follow it."""

import json

import keras
import numpy as np
import pytest
from PIL import Image
from scripts import call
from small_recipes import untrained_run

from tfcnns import layers, models, predict
from tfcnns.detection import detect

CIFAR = {"input_shape": (32, 32, 3), "width": 0.05}
# Small nets with every kind of layer in them: builder, arguments.
NETS = {
    "alexnet": ("alexnet", {"input_shape": (67, 67, 3), "classes": 4, "width": 1 / 16}),
    "alexnet of the code": (
        "alexnet",
        {
            "input_shape": (66, 66, 3), "classes": 4, "width": 1 / 16, "order": "code2012",
            "same_map_norm": True, "lrn_across_towers": False, "overlapping_pool": False,
        },
    ),
    "alexnet without overlap": (
        "alexnet",
        {"input_shape": (67, 67, 3), "classes": 4, "width": 1 / 16, "overlapping_pool": False},
    ),
    "alexnet_cifar10": ("alexnet_cifar10", {"width": 0.05}),
    "alexnet_cifar10 18pct": ("alexnet_cifar10", {"net": "18pct", "width": 0.1}),
    "maxout_mnist_pi": ("maxout_mnist_pi", {"width": 0.02}),
    "maxout_mnist": ("maxout_mnist", {"width": 0.05}),
    "maxout_cifar10": ("maxout_cifar10", CIFAR),
    "maxout pooled": ("maxout_svhn", {**CIFAR, "include_top": False, "pooling": "avg"}),
    "nin_cifar10": ("nin_cifar10", CIFAR),
    "nin fc": ("nin_cifar10", {**CIFAR, "top": "fc", "pool2": "average"}),
    "nin pooled": ("nin_mnist", {"width": 0.1, "include_top": False, "pooling": "max"}),
    "overfeat": ("overfeat", {"variant": "digits", "head": "both", "width": 0.1}),
}  # fmt: skip


@pytest.fixture
def first():
    """A function that sets Keras to channels first; it is what it was after the test."""
    yield lambda: keras.config.set_image_data_format("channels_first")
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same(first, name):
    builder, arguments = NETS[name]
    expected = getattr(models, builder)(**arguments)
    first()
    model = getattr(models, builder)(**arguments)
    assert [w.shape for w in model.weights] == [w.shape for w in expected.weights]
    model.set_weights(expected.get_weights())
    sides = (side or 40 for side in expected.input_shape[1:])
    x = np.random.default_rng(0).random((2, *sides)).astype("float32")
    here = keras.tree.flatten(model.predict_on_batch(x))
    there = keras.tree.flatten(expected.predict_on_batch(x))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)


def test_boxes_are_the_same(first):
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 1)).astype("uint8")
    model = models.overfeat("digits", head="both", width=0.1)
    expected = detect(model, image, k=2, join="none")
    first()
    again = models.overfeat("digits", head="both", width=0.1)
    again.set_weights(model.get_weights())
    found = detect(again, image, k=2, join="none")
    assert len(found[0]) > 1
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


RECIPE = """
import keras
from tfcnns.recipes import nin_digits as base
config, data, compile, view = base.config, base.data, base.compile, base.view

def model(config):  # a user's own, of Keras' layers as they come
    net = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, (1, 5)),
        keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")])
    return keras.Model(net.inputs, net.outputs)
"""


def test_scripts_have_channels_last(first, tmp_path, capsys):
    (tmp_path / "own.py").write_text(RECIPE)
    run = untrained_run(tmp_path / "run", tmp_path / "own.py", size=8)
    Image.fromarray(np.arange(64, dtype="uint8").reshape(8, 8)).save(tmp_path / "x.png")
    answers = []
    for setting in (lambda: None, first):
        setting()
        assert call(predict, f"--run={run.path}", "--json", tmp_path / "x.png") == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert keras.config.image_data_format() == "channels_last"


def test_layers_alone_follow_keras(first):
    x = np.random.default_rng(0).random((2, 8, 7, 4)).astype("float32")
    kinds = [
        layers.LRN(), layers.MaxoutConv(3, 3, 2), layers.MLPConv((3, 2), 3),
        layers.TowerConv(4, 3), layers.LocalConv(3, 3), layers.CeilMaxPooling2D(3, 2),
        layers.CeilAveragePooling2D(3, 2), layers.OffsetMaxPool(2), layers.SameMapNorm(),
        layers.AnyBatchMaxPooling2D(2), layers.TowerLRN(),
    ]  # fmt: skip
    expected = [layer(x) for layer in kinds]
    first()
    for layer, y in zip(kinds, expected, strict=True):
        again = type(layer)(**{k: v for k, v in layer.get_config().items() if k != "data_format"})
        again.build((None, 4, 8, 7))
        again.set_weights(layer.get_weights())
        assert again.data_format == "channels_first"
        found = np.moveaxis(np.asarray(again(np.moveaxis(x, -1, 1))), 1, -1)
        np.testing.assert_allclose(found, y, rtol=1e-6)
