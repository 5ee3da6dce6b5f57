"""Which units give one number whatever the image, and the line that says so in time."""

import logging
import re

import keras
import numpy as np
import pytest
from scripts import call
from small_recipes import compiled, no_eigenvectors, settings  # noqa: F401

from tfcnns import recipes, runs, train
from tfcnns.layers import MLPConv, TowerConv, threshold
from tfcnns.recipes import nin_cifar10
from tfcnns.training.dead_units import WarnOfDeadUnits, dead_units
from tfcnns.training.settings import parse_pairs, with_values

IMAGES = np.random.RandomState(0).rand(6, 5, 5, 1).astype("float32")  # pixels in [0, 1)
LABELS = np.zeros((6, 3))
AT_RISK = [name for name in recipes.names() if name.startswith("nin_") and name != "nin_digits"]


def net(first, last, activation="relu"):
    """Units with weights of one and the given biases: one of -99 is dead behind a ReLU."""
    model = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            keras.layers.Conv2D(
                len(first), 3, activation=activation, kernel_initializer="ones", name="first"
            ),
            MLPConv((4, len(last)), 3, kernel_initializer="ones", name="last"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.get_layer("first").bias.assign(first)
    model.get_layer("last").weights[-1].assign(last)
    return model


def found(model, images=IMAGES):
    return [(name, units.tolist(), of) for name, units, of in dead_units(model, images)]


def test_any_dead_map_of_the_last_layer_and_half_of_the_others():
    assert found(net([0, 0, 0], [0, 0])) == []
    assert found(net([0, 0, 0], [0, -9e9])) == [("last", [1], 2)]
    assert found(net([0, 0, -99], [0, 0])) == []
    assert found(net([-99, 0, -99], [0, 0])) == [("first", [0, 2], 3)]
    both = [("first", [0, 2], 3), ("last", [0, 1], 2)]
    assert found(net([-99, 0, -99], [-9e9, -9e9])) == both


def test_a_unit_that_one_place_in_one_image_moves_is_alive():
    images = np.zeros((6, 5, 5, 1), "float32")
    images[3, 2, 4] = 1
    assert found(net([0, 0, 0], [0, -0.5]), images) == []
    assert found(net([0, 0, 0], [0, -0.5]), np.delete(images, 3, 0)) == [
        ("first", [0, 1, 2], 3),
        ("last", [0, 1], 2),
    ]


def test_dead_need_not_be_zero():
    assert found(net([-99, 0, -99], [0, 0], activation=threshold)) == [("first", [0, 2], 3)]


def test_towers_on_devices_count_as_one_layer():
    inputs = keras.Input((5, 5, 1))
    x = keras.layers.Concatenate()([inputs, inputs])
    x = TowerConv(4, 3, devices=("cpu:0", "cpu:1"), activation="relu", name="towers")(x)
    model = keras.Model(inputs, x)
    for weight in model.weights:
        if "bias" in weight.path:
            weight.assign(weight - 99)
    assert found(model) == [("towers", [0, 1, 2, 3], 4)]


class Biases(keras.callbacks.Callback):
    """Sets the biases of the class maps before each update."""

    def __init__(self, biases):
        super().__init__()
        self.biases = iter(biases)

    def on_train_batch_begin(self, batch, logs=None):
        self.model.get_layer("last").weights[-1].assign(next(self.biases))


def said_in(caplog, biases, **arguments):
    """What a training at rate 0, three epochs of 3 updates of 2 images, is told."""
    model = net([0, 0, 0], biases[0])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    read = []

    def data():
        read.append(1)
        return [(IMAGES, LABELS)]

    watch = WarnOfDeadUnits(data, advice="do this", **arguments)
    callbacks = [Biases(biases), watch]
    with caplog.at_level(logging.WARNING, "tfcnns"):
        model.fit(IMAGES, LABELS, batch_size=2, epochs=3, verbose=0, callbacks=callbacks)
    assert len(read) <= 1
    return [record.getMessage() for record in caplog.records if record.name == "tfcnns"]


ONE = "dead units, which give one number on all of 6 training images: {} of last's 3; do this"


def test_what_has_changed_is_said_once(caplog):
    alive, dead, more = [0, 0, 0], [0, -9e9, 0], [-9e9, -9e9, 0]
    biases = [alive, alive, dead, dead, more, more, more, alive, more]
    said = said_in(caplog, biases)
    assert said == [ONE.format("1"), ONE.format("0, 1")]  # at the ends of epochs
    caplog.clear()
    said = said_in(caplog, biases, every=2)  # and after the second update of each
    assert said == [
        ONE.format("1"),
        ONE.format("0, 1"),
        "the dead units live again",
        ONE.format("0, 1"),
    ]


def test_only_the_first_epochs_are_watched(caplog):
    biases = [[0, 0, 0]] * 6 + [[0, -9e9, 0]] * 3
    assert said_in(caplog, biases, epochs=2) == []
    assert said_in(caplog, biases) == [ONE.format("1")]


@pytest.mark.parametrize("name", AT_RISK)
def test_recipes_with_rectified_class_maps_watch_them(name, no_eigenvectors):  # noqa: F811
    model, callbacks, _ = compiled(name, batch_size=4)
    (watch,) = [callback for callback in callbacks if isinstance(callback, WarnOfDeadUnits)]
    images, _ = next(iter(watch.data()))
    assert images.shape[1:] == model.input_shape[1:]


@pytest.mark.parametrize("name", AT_RISK)
def test_what_they_advise_can_be_done(name, no_eigenvectors):  # noqa: F811
    (setting,) = re.findall(r"--set (\S+)", nin_cifar10.ADVICE)
    config = runs.load_recipe(recipes.find(name)).config()
    config = with_values(config, parse_pairs([setting]))
    model, _, _ = compiled(name, last_activation=config["last_activation"])
    last = model.get_layer("mlpconv4" if name == "nin_imagenet" else "mlpconv3")
    assert last.last_activation is keras.activations.linear


def test_a_run_says_it(tmp_path, caplog):
    flags = [f"--set={k}={v}" for k, v in settings("nin_mnist", initializer="zeros").items()]
    with caplog.at_level(logging.WARNING, "tfcnns"):
        out = f"--out={tmp_path}/run"
        assert call(train, "--recipe=nin_mnist", out, "--epochs=1", "--batch_size=4", *flags) == 0
    assert "on all of 4 training images: " in caplog.text
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 of mlpconv3's 10; try another --seed" in caplog.text
