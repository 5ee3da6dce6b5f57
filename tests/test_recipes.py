"""Recipes are found by name, keep their contract and say what the paper says."""

import ast

import pytest

from tfcnns import recipes, runs, train
from tfcnns.errors import UserError


@pytest.mark.parametrize("name", recipes.names())
def test_each_keeps_the_contract(name):
    path = recipes.find(name)
    recipe = runs.load_recipe(path)
    text = ast.get_docstring(ast.parse(path.read_text()))
    for part in ("Paper:", f"python -m tfcnns.train --recipe={name}", "Cost:", "Expected:"):
        assert part in text
    assert set(recipe.PAPER) >= {"paper", "table", "number", "parameters"}
    assert recipes.paper(path) == recipe.PAPER
    config = recipe.config()
    assert set(config) >= {"epochs", "batch_size", "learning_rate", "seed"}
    model = recipe.model(config)
    assert model.count_params() == recipe.PAPER["parameters"]
    recipe.compile(model, config)
    assert model.compiled


def test_the_table_names_them_all():
    table = train.recipe_table()
    assert [line.split()[0] for line in table.splitlines()[1:]] == recipes.names()


def test_a_path_needs_no_ending_in_our_folder(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("")
    assert recipes.find(str(file)) == file
    assert recipes.paper(file) == {}
    with pytest.raises(UserError, match="no recipe file"):
        recipes.find(str(tmp_path / "other.py"))


def test_workers_share_the_digits(monkeypatch):
    import numpy as np

    recipe = runs.load_recipe(recipes.find("nin_digits"))
    config = {**recipe.config(), "epochs": 1, "size": 8}
    whole = next(iter(recipe.data(config, "train", 0, 1)))
    halves = [next(iter(recipe.data(config, "train", w, 2))) for w in range(2)]
    for one, parts in zip(whole, zip(*halves, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(parts))
