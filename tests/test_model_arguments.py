"""What builders of models refuse, in one line, and that NumPy's scalars are numbers to them."""

import json
import re

import keras
import numpy as np
import pytest

from tfcnns import models

CIFAR = {"input_shape": (32, 32, 3), "width": 0.05}
SMALL = {
    "alexnet": {"input_shape": (67, 67, 3), "classes": 4, "width": 1 / 16},
    "alexnet_cifar10": {"classes": 3, "width": 0.05},
    "maxout_mnist_pi": {"classes": 3, "width": 0.02, "dropout": 0.5},
    "maxout_mnist": {"classes": 3, "width": 0.05, "irange": 0.01},
    "maxout_cifar10": CIFAR,
    "nin_cifar10": CIFAR,
    "nin_mnist": {"classes": 3, "width": 0.05, "dropout": 0.25},
    "overfeat": {"variant": "digits", "classes": 3, "width": 0.1, "dropout": 0.5},
}

# Of every builder, and of some; what is expected must stand in the message.
WRONG = [
    ("classes", 0, "a positive integer"),
    ("classes", -3, "a positive integer"),
    ("classes", 2.5, "a positive integer"),
    ("classes", "ten", "a positive integer"),
    ("classes", True, "a positive integer"),
    ("width", 0, "a finite number > 0"),
    ("width", -1, "a finite number > 0"),
    ("width", float("nan"), "a finite number > 0"),
    ("width", float("inf"), "a finite number > 0"),
    ("width", "wide", "a finite number > 0"),
    ("input_shape", (32, 32, 0), "positive integers"),
    ("input_shape", (-32, 32, 3), "positive integers"),
    ("input_shape", 32, "positive integers"),
    ("classifier_activation", "foo", "keras.activations"),
    ("pooling", "mean", "one of"),
    ("include_top", "yes", "True or False"),
    ("preprocessing", 3, "a sequence of layers"),
    ("preprocessing", ["scale"], "a sequence of layers"),
]
IMAGES = [(32, 32), (32, 32, None), "32,32,3"]
OF_ONE = {
    "alexnet": [
        ("towers", 0, "a positive integer"),
        ("towers", -2, "a positive integer"),
        ("towers", 1.0, "a positive integer"),
        ("activation", "foo", "keras.activations"),
        ("order", "caffe", "one of"),
        ("drop", "conv3", "a sequence"),
        ("drop", 3, "a sequence"),
        ("lrn", "yes", "True or False"),
        ("half", 1, "True or False"),
        ("dropout", 1.5, "a finite number >= 0 and <= 1"),
        ("initializers", "foo", "Keras initializer"),
        ("initializers", None, "Keras initializer"),
    ],
    "alexnet_cifar10": [
        ("net", "9pct", "one of"),
        ("activation", "foo", "keras.activations"),
        ("lrn", "yes", "True or False"),
    ],
    "maxout_mnist": [
        ("untied_bias", "no", "True or False"),
        ("input_dropout", -0.1, "a finite number >= 0 and <= 1"),
        ("dropout", 2, "a finite number >= 0 and <= 1"),
        ("irange", -1, "a finite number >= 0"),
    ],
    "nin_mnist": [
        ("dropout", 2, "a finite number >= 0 and <= 1 or None"),
        ("top", "dense", "one of"),
        ("last_activation", "foo", "keras.activations"),
        ("pools", "median", "one of"),
        ("strides", 0, "a positive integer or a pair"),
        ("paddings", "full", "one of"),
        ("kernel_initializer", "foo", "keras.initializers"),
    ],
    "overfeat": [
        ("variant", "Fast", "one of"),
        ("head", "detector", "one of"),
        ("padding", "full", "one of"),
        ("dropout", -1, "a finite number >= 0 and <= 1"),
        ("activation", "foo", "keras.activations"),
        ("kernel_initializer", "foo", "keras.initializers"),
        ("boxes_per_class", "yes", "True or False"),
    ],
}
# Arguments that go on to a layer under another name.
RENAMED = {"strides": "strides", "paddings": "padding"}


@pytest.mark.parametrize("name", SMALL)
def test_wrong_values_are_one_line(name):
    images = [("input_shape", shape, "(height, width, channels)") for shape in IMAGES]
    images = [] if name == "maxout_mnist_pi" else images  # it takes any shape
    for argument, value, expected in [*WRONG, *images, *OF_ONE.get(name, [])]:
        with pytest.raises(ValueError) as refused:  # noqa: PT011
            getattr(models, name)(**{**SMALL[name], argument: value})
        message = str(refused.value)
        argument = RENAMED.get(argument, argument)
        assert re.match(rf"`{argument}` must be .*{re.escape(expected)}", message), message
        assert message.endswith(f"Received: {argument}={value!r}"), message
        assert "\n" not in message


def as_numpy(value):
    kinds = {bool: np.bool_, int: np.int64, float: np.float64}
    if isinstance(value, tuple):
        return tuple(map(as_numpy, value))
    return kinds.get(type(value), lambda value: value)(value)


@pytest.mark.parametrize("name", SMALL)
def test_numpy_scalars_are_numbers(name):
    builder, arguments = getattr(models, name), SMALL[name]
    plain, numpy = builder(**arguments), builder(**{k: as_numpy(v) for k, v in arguments.items()})
    config = json.loads(numpy.to_json())
    assert config["config"]["layers"] == json.loads(plain.to_json())["config"]["layers"]
    numpy.set_weights(plain.get_weights())
    x = np.random.default_rng(0).random((2, *(n or 40 for n in plain.input_shape[1:])))
    one, other = (keras.tree.flatten(m.predict_on_batch(x)) for m in (numpy, plain))
    np.testing.assert_array_equal(one[0], other[0])
