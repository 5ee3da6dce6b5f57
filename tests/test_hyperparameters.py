"""What numbers and names are taken for, and NumPy's scalars in losses, metrics and optimisers."""

import json
import math

import keras
import numpy as np
import pytest

from tfcnns.detection import MinedCrossentropy
from tfcnns.detection.negatives import MinedNegatives, ObjectAccuracy
from tfcnns.layers import hyperparameters as h
from tfcnns.training import PaperSGD
from tfcnns.training.lars import LARS
from tfcnns.training.schedules import DecayPerUpdate, StepPerUpdate


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (h.whole, np.int64(4), 4),
        (h.whole, np.uint8(4), 4),
        (h.whole, np.array(4), 4),
        (h.seed_number, np.int32(-3), -3),
        (h.seed_number, None, None),
        (h.wholes, [np.int64(4), 5], (4, 5)),
        (h.wholes, np.array([4, 5]), (4, 5)),
        (h.size, np.int64(3), 3),
        (h.size, [np.int64(3), 2], (3, 2)),
        (h.real, np.float32(0.5), 0.5),
        (h.real, np.float64(0.7), 0.7),
        (h.real, np.int64(2), 2),
        (h.flag, np.bool_(True), True),
    ],
)
def test_numpy_values_become_pythons(read, value, expected):
    found = read("it", value)
    assert found == expected
    items = found if isinstance(found, tuple) else (found,)
    assert {type(item) for item in items} <= {int, float, bool, type(None)}  # no subclass


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (h.whole, 0, "a positive integer"),
        (h.whole, 4.0, "a positive integer"),
        (h.whole, np.float64(4), "a positive integer"),
        (h.whole, True, "a positive integer"),
        (h.whole, np.array([4]), "a positive integer"),
        (h.wholes, (), "a tuple of positive integers"),
        (h.wholes, 4, "a tuple of positive integers"),
        (h.size, (3, 0), "a positive integer or a pair of them"),
        (h.size, (3, 3, 3), "a positive integer or a pair of them"),
        (h.real, math.nan, "a finite number"),
        (h.real, "1", "a finite number"),
        (h.real, True, "a finite number"),
        (h.flag, 1, "True or False"),
    ],
)
def test_other_values_are_named(read, value, expected):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read("it", value)
    assert str(refused.value) == f"`it` must be {expected}. Received: it={value!r}"


CLASSES = {
    "PaperSGD": (
        PaperSGD,
        {"learning_rate": 0.5, "momentum": 0.25, "weight_decay": 0.125, "clipvalue": 2.0,
         "multipliers": {"bias": 2.0}, "decay_biases": True},
    ),
    "LARS": (LARS, {"learning_rate": 8.0, "trust": 0.5}),
    "DecayPerUpdate": (DecayPerUpdate, {"initial": 0.5, "factor": 1.25, "floor": 0.125}),
    "StepPerUpdate": (StepPerUpdate, {"initial": 0.5, "every": 10, "factor": 0.25}),
    "MinedCrossentropy": (MinedCrossentropy, {"background": 10, "negatives": 2, "seed": 3}),
    "MinedNegatives": (MinedNegatives, {"background": 10, "negatives": 2}),
    "ObjectAccuracy": (ObjectAccuracy, {"background": 10}),
}  # fmt: skip


def as_numpy(value):
    if isinstance(value, dict):
        return {key: as_numpy(item) for key, item in value.items()}
    return {bool: np.bool_, int: np.int64, float: np.float64}[type(value)](value)


@pytest.mark.parametrize("name", CLASSES)
def test_numpy_settings_are_saved_as_numbers(name):
    kind, arguments = CLASSES[name]
    named = {"name": "it"} if issubclass(kind, PaperSGD) else {}
    plain, numpy = kind(**arguments, **named), kind(**as_numpy(arguments), **named)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(numpy)))
    assert config == json.loads(json.dumps(keras.saving.serialize_keras_object(plain)))
    again = keras.saving.deserialize_keras_object(config)
    for key, value in arguments.items():
        assert again.get_config()[key] == value
