"""Recipes are found by name, keep their contract, say what the paper says, and run."""

import ast
import json
import math
import os
import subprocess
import sys

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
    assert np.isfinite(run.history()[0]["loss"])
    model = run.load_model()
    test = recipe.data(run.config, "test", 0, 1).take(2)
    labels, scores = evaluate.scores(recipe, run.config, "test", model, test)
    assert len(labels) >= 2
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-4)
    assert np.isfinite(evaluation.measure(labels, scores)["loss"])


# In a process of its own: a process never gives back the weights of a Keras model that `fit` has
# trained, and the nets here would come to 16 GB.
TWENTY_STEPS = """
import json, math, sys, time
from small_recipes import on_digits
from tfcnns import recipes, runs

recipe = runs.load_recipe(recipes.find(sys.argv[1]))
config = {**recipe.config(), "epochs": 1}
config.update(on_digits(config, limit=160))
config["learning_rate"] *= 8 / config["batch_size"]  # the papers' rates are for large batches
config["batch_size"] = 8
model = recipe.model(config)
callbacks = recipe.compile(model, config) or []
callbacks = [c for c in callbacks if not hasattr(c, "monitor")]  # nothing is validated
begin = time.perf_counter()
stream = recipe.data(config, "train", 0, 1)
loss = model.fit(stream, shuffle=False, verbose=0, callbacks=callbacks).history["loss"]
print(json.dumps({
    "seconds": time.perf_counter() - begin,
    "loss": loss,
    "steps": int(model.optimizer.iterations.numpy()),
    "parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in recipes.names() if n != "nin_digits"])
def test_twenty_steps_at_real_width(name, capsys):
    done = subprocess.run(
        [sys.executable, "-c", TWENTY_STEPS, name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert np.isfinite(found["loss"]).all()
    assert found["steps"] == 20
    with capsys.disabled():
        print(
            f"\n{name}: {found['parameters']:,} parameters, 20 steps of 8 "
            f"in {found['seconds']:.1f} s"
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
