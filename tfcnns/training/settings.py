"""A recipe's config with the user's values in it, checked."""

import ast
import math
import re
import textwrap
import traceback

from tfcnns.errors import UserError
from tfcnns.nearest import nearest

_POSITIVE = ("epochs", "batch_size", "learning_rate")
_WHOLE = ("epochs", "batch_size", "seed")


def with_values(config, values):
    """`config` with some values replaced.

    Args:
        config: dict of a recipe's defaults.
        values: dict of the user's values; text is read as the type of the default.

    Raises:
        UserError: a name the config lacks, or a value that doesn't fit.
    """
    result = dict(config)
    for name, value in values.items():
        if name not in config:
            raise UserError(f"the recipe has no setting {name!r}{nearest(name, list(config))}")
        if isinstance(value, str):
            value = _read(name, value, config[name])
        result[name] = value
    _check(result)
    return result


def with_class_names(config, own):
    """`config` with the names of the classes that its data set has.

    A recipe names the classes of the paper's data set, or leaves them to it (None); another one,
    the user's own folder for instance, brings others, and then also decides `classes`, if the
    recipe has that setting; where the user sets it, there are as many names, the last ones numbers.

    Args:
        config: dict of values; "data" as `tfcnns.pipelines.datasets.open_dataset` takes it, or
            `tfcnns.pipelines.box_datasets.open_boxes`.
        own: dict of the recipe's defaults.
    """
    if not {"class_names", "data"} <= set(own) or config["class_names"] != own["class_names"]:
        return config
    other = config["data"] not in ("digits", own["data"])
    other = other or config.get("classes") != own.get("classes")
    if not other and own["class_names"] is not None:
        return config
    source = _source(config)
    names = tuple(source.class_names)
    if "classes" in own and config["classes"] == own["classes"]:
        return {**config, "class_names": names, "classes": source.classes}
    more = range(len(names), config.get("classes", 0))  # classes that the data doesn't have
    return {**config, "class_names": (*names, *map(str, more))}


def _source(config):
    """Training images of a config, with boxes or without."""
    from tfcnns.pipelines.box_datasets import NAMES, open_boxes
    from tfcnns.pipelines.datasets import open_dataset

    options = {"data_dir": config["data_dir"], "download": config["download"]}
    if config["data"] in NAMES:
        return open_boxes(config["data"], "train", examples=1, **options)
    return open_dataset(config["data"], "train", **options)


def with_scaled_rate(config, own):
    """`config` with its learning rate scaled as its batch is against the recipe's own.

    The linear rule of Krizhevsky's "One weird trick" (2014) and Goyal et al. (2017): k times the
    batch, k times the rate. Good up to a few thousand samples a batch.

    Args:
        config: dict of values; "learning_rate" is meant for the recipe's own batch.
        own: dict of the recipe's defaults.

    Raises:
        UserError: the recipe has no learning_rate or batch_size.
    """
    for name in ("learning_rate", "batch_size"):
        if name not in own:
            raise UserError(f"--scale_learning_rate: the recipe has no {name}")
    factor = config["batch_size"] / own["batch_size"]
    return {**config, "learning_rate": config["learning_rate"] * factor}


def blame(call, config, own):
    """call(config); where it refuses a value that differs from the recipe's own, a UserError.

    Layers, optimisers, callbacks and recipes refuse arguments by a ValueError or a TypeError,
    but so may a defect fail. Which one it is shows when the same call is made again with the
    recipe's own value in the place of a changed one: a refusal of that value is gone then, or
    another one comes in its place, while a defect fails where it did and keeps its traceback.
    So does everything that is no refusal, a KeyError for instance.

    Args:
        call: function of a config, without effects that outlast an error.
        config: dict of values.
        own: dict of the recipe's defaults.

    Raises:
        UserError: naming the value.
    """
    try:
        return call(config)
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        for name in _suspects(config, own, str(error)):
            if _is_gone(error, call, {**config, name: own[name]}):
                value = textwrap.shorten(repr(config[name]), 60)
                raise UserError(f"{name}={value}: {_message(error)}") from error
        raise


def _suspects(config, own, text):
    """Names of changed values, those that an error's text quotes first: it is likely theirs."""
    # Of a data set nothing is refused but by a UserError, and none is to be fetched here.
    changed = [n for n in config if n != "data" and n in own and config[n] != own[n]]
    return sorted(changed, key=lambda name: repr(config[name]) not in text)


def _is_gone(error, call, config):
    """Whether a call with another config doesn't fail as it did."""
    try:
        call(config)
    except UserError:  # which came in between: that says nothing
        return False
    except (ValueError, TypeError) as other:
        return _place(other) != _place(error)
    return True


def _place(error):
    """Where an error was raised."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return frame.f_code, line


def _message(error):
    """An error's text, of one from inside tf.data without the lines that led there."""
    text = str(error)
    if "in user code:" in text:
        text = re.sub(r"^\s*\w+: ", "", text.strip().splitlines()[-1])
    return text


def check_counts(config, *names):
    """Raises UserError unless these settings are whole numbers above 0, or None for no limit."""
    for name in names:
        value = config[name]
        if value is not None and (type(value) is not int or value < 1):
            raise UserError(f"{name} must be a whole number above 0, got {value!r}")


def check_range(config, low, high, *names):
    """Raises UserError unless these settings, or all their items, are numbers in [low, high]."""
    for name in names:
        values = config[name] if isinstance(config[name], tuple) else (config[name],)
        if not values or not all(_is_number(value) and low <= value <= high for value in values):
            raise UserError(f"{name} must be from {low} to {high}, got {config[name]!r}")


def check_pairs(config, low, high, *names):
    """Raises UserError unless these settings are two numbers in [low, high], the smaller first."""
    check_range(config, low, high, *names)
    for name in names:
        pair = config[name]
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] > pair[1]:
            raise UserError(f"{name} must be two numbers, the smaller first, got {pair!r}")


def check_choice(config, name, choices):
    """Raises UserError unless a setting is one of the choices."""
    if config[name] not in choices:
        raise UserError(f"{name} must be one of {', '.join(choices)}, got {config[name]!r}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parse_pairs(pairs):
    """["name=value", ...] as a dict of texts."""
    result = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"--set={pair}: expected name=value")
        result[name.strip()] = value.strip()
    return result


def _read(name, text, default):
    """`text` as a value of the default's type; a default of None takes any."""
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        value = tuple(value)
    if isinstance(default, tuple) and isinstance(value, tuple):
        value = tuple(_as_in(default, item) for item in value)
    if not _fits(value, default):
        raise UserError(f"--set={name}={text}: expected {type(default).__name__} as in {default!r}")
    return value


def _as_in(default, item):
    """A whole number where the default holds floats is one of them."""
    wanted = {type(one) for one in default}
    return float(item) if wanted == {float} and type(item) is int else item


def _fits(value, default):
    """Whether a value is of the default's type, its items of those of the default, and finite."""
    items = value if isinstance(value, tuple) else (value,)
    if not all(math.isfinite(item) for item in items if isinstance(item, float)):
        return False
    if default is None or value is None:
        return True
    if isinstance(value, tuple) and isinstance(default, tuple):
        return not default or {type(item) for item in value} <= {type(item) for item in default}
    return type(value) is type(default)


def _check(config):
    for name in _WHOLE:
        value = config.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"{name} must be a whole number, got {value!r}")
    for name in _POSITIVE:
        value = config.get(name, 1)
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise UserError(f"{name} must be above 0, got {value}")
    if not 0 <= config.get("seed", 0) < 2**31:
        raise UserError(f"seed must be from 0 to 2147483647, got {config['seed']}")
