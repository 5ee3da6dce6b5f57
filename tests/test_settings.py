"""The user's values in a recipe's config: right types, or one clear line."""

import pytest

from tfcnns.errors import UserError
from tfcnns.training.settings import parse_pairs, with_values

CONFIG = {
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 0.1,
    "seed": 0,
    "flip": True,
    "data": "cifar10",
    "widths": (1, 2),
    "top": None,
}


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("epochs=3", 3),
        ("learning_rate=1", 1.0),
        ("learning_rate=1e-3", 0.001),
        ("flip=false", False),
        ("flip=True", True),
        ("data=digits", "digits"),
        ("data=3", "3"),
        ("widths=(3, 4)", (3, 4)),
        ("widths=[3, 4]", (3, 4)),
        ("top=relu", "relu"),
        ("top=5", 5),
        ("data=a=b", "a=b"),
    ],
)
def test_text_becomes_the_type_of_the_default(pair, value):
    result = with_values(CONFIG, parse_pairs([pair]))[pair.split("=")[0]]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": "3"}, "no setting 'epoch', did you mean 'epochs'"),
        ({"epochs": "3.5"}, "expected int"),
        ({"epochs": 0}, "epochs must be above 0, got 0"),
        ({"batch_size": -4}, "batch_size must be above 0, got -4"),
        ({"learning_rate": -0.1}, "learning_rate must be above 0, got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        ({"learning_rate": "fast"}, "expected float"),
        ({"flip": "1"}, "expected bool"),
        ({"widths": "3"}, "expected tuple"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(UserError, match=message):
        with_values(CONFIG, values)


@pytest.mark.parametrize("pair", ["epochs", "=3", ""])
def test_a_pair_is_a_name_and_a_value(pair):
    with pytest.raises(UserError, match="expected name=value"):
        parse_pairs([pair])


def test_the_defaults_stay_as_they_were():
    before = dict(CONFIG)
    assert with_values(CONFIG, {"epochs": "3"})["epochs"] == 3
    assert before == CONFIG
