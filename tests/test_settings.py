"""The user's values in a recipe's config: right types, or one clear line."""

import pytest

from tfcnns import runs, train
from tfcnns.errors import UserError
from tfcnns.training.settings import (
    parse_pairs,
    with_class_names,
    with_scaled_rate,
    with_values,
)

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


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": "1e999"},
        {"widths": "(3, 'a')"},
        {"widths": "(3, 4.5)"},
        {"widths": "(None,)"},
        {"parts": "(1e999,)"},
        {"top": "1e999"},
    ],
)
def test_items_and_numbers_are_of_the_defaults_kind(values):
    config = {**CONFIG, "parts": (0.5, 1.0)}
    with pytest.raises(UserError, match="expected"):
        with_values(config, values)
    assert with_values(config, {"parts": "(1, 2)"})["parts"] == (1.0, 2.0)


def test_classes_that_the_data_does_not_have_are_numbers():
    own = {"data": "cifar10", "data_dir": None, "download": False, "classes": 4,
           "class_names": tuple("abcd")}  # fmt: skip
    config = with_class_names({**own, "data": "digits", "classes": 12}, own)
    assert config["class_names"] == (*"0123456789", "10", "11")
    without_data = {"classes": 4, "class_names": tuple("abcd")}
    assert with_class_names({**without_data, "classes": 5}, without_data)["classes"] == 5


@pytest.mark.parametrize("pair", ["epochs", "=3", ""])
def test_a_pair_is_a_name_and_a_value(pair):
    with pytest.raises(UserError, match="expected name=value"):
        parse_pairs([pair])


def test_the_defaults_stay_as_they_were():
    before = dict(CONFIG)
    assert with_values(CONFIG, {"epochs": "3"})["epochs"] == 3
    assert before == CONFIG


def test_the_rate_is_scaled_as_the_batch():
    scaled = with_scaled_rate({**CONFIG, "batch_size": 256, "learning_rate": 0.2}, CONFIG)
    assert scaled == {**CONFIG, "batch_size": 256, "learning_rate": pytest.approx(1.6)}
    with pytest.raises(UserError, match="--scale_learning_rate: the recipe has no learning_rate"):
        with_scaled_rate({"batch_size": 8}, {"batch_size": 4})


def test_the_flag_scales_what_a_run_trains_with(tmp_path):
    flags = ["--recipe=nin_digits", "--set=size=8", "--batch_size=128", "--epochs=1", "--xla=off"]
    with pytest.raises(SystemExit) as left:
        train.run(["train", *flags, f"--out={tmp_path}/run", "--scale_learning_rate"])
    assert not left.value.code
    run = runs.open_run(tmp_path / "run")
    rate = run.recipe.config()["learning_rate"] * 4  # 128 images in the place of 32
    assert run.config["learning_rate"] == rate
    assert run.history()[0]["learning_rate"] == pytest.approx(rate)
