"""Recipes are found by name, keep their contract, say what the paper says, and run."""

import ast
import json
import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_recipes import (
    no_eigenvectors,  # noqa: F401
    no_random_weights,  # noqa: F401
    on_digits,
    settings,
)

from tfcnns import evaluate, recipes, runs, train
from tfcnns.errors import UserError


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.usefixtures("no_eigenvectors", "no_random_weights")
@pytest.mark.parametrize("name", recipes.names())
def test_each_keeps_the_contract(name):
    path = recipes.find(name)
    recipe = runs.load_recipe(path)
    config = recipe.config()
    text = ast.get_docstring(ast.parse(path.read_text()))
    for part in ("Paper:", f"python -m tfcnns.train --recipe={name}", "Cost:", "Expected:"):
        assert part in text
    assert callable(recipe.view)  # what `predict` and exports see of an image
    assert set(recipe.PAPER) >= {"paper", "table", "number", "parameters"}
    assert recipes.paper(path) == recipe.PAPER
    assert set(config) >= {"epochs", "batch_size", "learning_rate", "seed"}
    json.dumps(config)
    model = recipe.model({**config, **on_digits(config)})
    assert trainable(model) == recipe.PAPER["parameters"]
    assert f"{recipe.PAPER['parameters']:,}" in text or name == "nin_digits"
    recipe.compile(model, config)
    assert model.compiled


@pytest.mark.parametrize("name", recipes.names())
def test_each_trains_and_is_evaluated_on_digits(name, tmp_path, capsys):
    from tfcnns.training import evaluation

    out = tmp_path / "run"
    recipe = runs.load_recipe(recipes.find(name))
    flags = [f"--set={k}={v}" for k, v in settings(name).items()]
    if "data" in recipe.config():
        flags.append("--batch_size=4")
    with pytest.raises(SystemExit) as left:
        train.run(["train", f"--recipe={name}", f"--out={out}", "--epochs=1", *flags])
    assert not left.value.code, capsys.readouterr().err
    run = runs.open_run(out)
    model = run.load_model()
    keras.utils.set_random_seed(run.config["seed"])
    begun = recipe.model(run.config)  # as it was before training
    pairs = zip(begun.trainable_weights, model.trainable_weights, strict=True)
    assert any(np.any(before != after) for before, after in pairs)
    test = recipe.data(run.config, "test", 0, 1).take(2)
    labels, scores = evaluate.scores(recipe, run.config, "test", model, test)
    given = np.concatenate([np.ravel(batch) for _, batch in test.as_numpy_iterator()])
    np.testing.assert_array_equal(labels, given)
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-4)
    known = labels >= 0  # -1 is no object
    labels, scores = labels[known], scores[known]
    expected = -np.log(scores[np.arange(len(labels)), labels]).mean()
    found = evaluation.measure(labels, scores)["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# In a process of its own: a process never gives back the weights of a Keras model that `fit` has
# trained, and the nets here would come to 16 GB.
LEARNING = """
import json, math, sys
import keras, numpy as np
from small_recipes import on_digits
from tfcnns import recipes, runs

name, limit = sys.argv[1], int(sys.argv[2])
recipe = runs.load_recipe(recipes.find(name))
config = {**recipe.config(), "epochs": 1, "batch_size": 16}
config.update(on_digits(config, limit=16))
keras.utils.set_random_seed(0)
model = recipe.model(config)
recipe.compile(model, config)
images, labels = next(iter(recipe.data(config, "train", 0, 1)))

def loss():
    return float(model.test_on_batch(images, labels, return_dict=True)["loss"])

counts = np.bincount(np.ravel(labels)[np.ravel(labels) >= 0])  # -1 is no object
shares = counts[counts > 0] / counts.sum()
losses, steps = [loss()], 0
aim = 0.9 * -(shares * np.log(shares)).sum()
while steps < limit and not losses[-1] < aim:
    model.train_on_batch(images, labels)
    steps += 1
    if steps % 10 == 0:
        losses.append(loss())
print(json.dumps({
    "aim": aim,
    "losses": losses,
    "steps": steps,
    "parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.names())
def test_each_learns_real_images_at_real_width(name, capsys):
    """The loss falls below that of a net that knows how often each class comes, and no more: one
    whose units are dead doesn't come so far, nor one that its rate throws about."""
    done = subprocess.run(
        [sys.executable, "-c", LEARNING, name, "3000"],  # steps at most; most need 10 to 200
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["losses"][-1] < found["aim"], found
    assert found["aim"] > 1  # the batch has several classes
    with capsys.disabled():
        print(
            f"\n{name}: {found['parameters']:,} parameters, in {found['steps']} steps of 16 from "
            f"a loss of {found['losses'][0]:.3f} to {found['losses'][-1]:.3f}"
        )


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


def test_workers_share_the_digits():
    recipe = runs.load_recipe(recipes.find("nin_digits"))
    config = {**recipe.config(), "epochs": 1, "size": 8}
    whole = next(iter(recipe.data(config, "train", 0, 1)))
    halves = [next(iter(recipe.data(config, "train", w, 2))) for w in range(2)]
    for one, parts in zip(whole, zip(*halves, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(parts))
