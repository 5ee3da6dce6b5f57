"""Recipes at sizes for tests: on a few digits, and without the cost of whitening."""

import math

import keras
import numpy as np
import pytest

from tfcnns import recipes, runs
from tfcnns.layers import zca_whitening

SMALL = {"data": "digits", "limit": 8, "width": 0.05}
SMALL_SCENES = {**SMALL, "data": "digit_scenes", "test_limit": 8}


def settings(name, **values):
    """Values for a recipe's config: `SMALL` and the given ones, without those that it lacks."""
    if name.startswith(("nin_cifar", "maxout_cifar")):  # they whiten: the fewer pixels the better
        values = {"input_shape": (16, 16, 3), **values}
    config = runs.load_recipe(recipes.find(name)).config()
    small = SMALL_SCENES if reads_boxes(config) else SMALL
    return {k: v for k, v in {**small, **values}.items() if k in config}


def reads_boxes(config):
    """Whether a recipe trains on images with boxes: digits alone have none, digit scenes do."""
    return "localize_on" in config


def on_digits(config, limit=8):
    """The settings with which a recipe's nets of full size see so many digits."""
    if reads_boxes(config):
        return {"data": "digit_scenes", "limit": limit, "test_limit": limit}
    return {"data": "digits", "limit": limit} if "data" in config else {}


def compiled(name, **values):
    """A small model of a recipe, the callbacks that its `compile` returned, and its config."""
    recipe = runs.load_recipe(recipes.find(name))
    config = {**recipe.config(), **settings(name, **values)}
    model = recipe.model(config)
    return model, recipe.compile(model, config) or [], config


def untrained_run(path, recipe, **values):
    """A run directory as after training, but that nothing was learned; returns its `Run`."""
    file = recipes.find(str(recipe))
    run = runs.create_run(path, file, {**runs.load_recipe(file).config(), **values})
    keras.utils.set_random_seed(0)
    run.recipe.model(run.config).save(run.path / "model.keras")
    return run


@pytest.fixture
def no_eigenvectors(monkeypatch):
    """Whitening that doubles its images: no seconds for the eigenvectors of their covariance."""

    def doubling(data, filter_bias):
        shape = tuple(next(iter(data)).shape[1:])
        unit = np.eye(math.prod(shape), dtype="float32")
        return shape, np.zeros(len(unit)), 2 * unit, unit / 2

    monkeypatch.setattr(zca_whitening, "zca_matrices", doubling)


@pytest.fixture
def no_random_weights(monkeypatch):
    """Weights that begin as zeros: OverFeat's 145 million random ones take five seconds."""

    def zeros(self, shape, dtype=None, **kwargs):
        return keras.ops.zeros(shape, dtype)

    for name in ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"):
        monkeypatch.setattr(getattr(keras.initializers, name), "__call__", zeros)
