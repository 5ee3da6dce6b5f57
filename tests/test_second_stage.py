"""Maxout's two stages: where the second begins, what it is trained with, and when it ends."""

import csv
import functools
import json

import keras
import numpy as np
import pytest
from scripts import call as call_script
from small_recipes import compiled, no_eigenvectors, settings  # noqa: F401

from tfcnns import recipes, runs, train
from tfcnns.errors import UserError
from tfcnns.training.schedules import DecayPerUpdate
from tfcnns.training.second_stage import StartFrom, StopAfter, first_run

pytestmark = pytest.mark.usefixtures("no_eigenvectors")


call = functools.partial(call_script, train)


def train_on_digits(name, out, *more, **values):
    values = settings(name, **{"limit": 64, **values})
    flags = [f"--set={k}={v}" for k, v in values.items()]
    return call(f"--recipe={name}", f"--out={out}", "--batch_size=16", *flags, *more)


def first_stage(folder, name, history, **values):
    """A finished run of stage 1 with the given rows, and weights that nobody reads."""
    recipe = recipes.find(name)
    config = {**runs.load_recipe(recipe).config(), "data": "digits", **values}
    run = runs.create_run(folder, recipe, config)
    (folder / "best.weights.h5").write_bytes(b"")
    (folder / "model.keras").write_bytes(b"")
    with open(folder / "history.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", *history[0]])
        writer.writeheader()
        writer.writerows({"epoch": n, **row} for n, row in enumerate(history, start=1))
    return run


def test_the_authors_numbers_come_out(tmp_path):
    """mnist_pi_continued.yaml has the rate and the momentum of the best epoch of their stage 1."""
    rate = DecayPerUpdate(0.1, 1.000004, 1e-6)
    history = [
        {"val_accuracy": 0.99 if n == 242 else 0.98, "learning_rate": float(rate(500 * n))}
        for n in range(343)
    ]
    first_stage(tmp_path, "maxout_mnist_pi", history)
    model, _, _ = compiled("maxout_mnist_pi", stage=2, from_run=str(tmp_path))
    optimizer = model.optimizer
    np.testing.assert_allclose(optimizer.learning_rate, 0.0615082606673, rtol=1e-6)
    np.testing.assert_allclose(optimizer.momentum, 0.694376766682, rtol=2e-6)
    optimizer.iterations.assign(1000)  # it goes on falling
    np.testing.assert_allclose(optimizer.learning_rate, 0.0615082606673 / 1.000004**1000, rtol=1e-6)


def test_the_other_nets_of_stage_2(tmp_path):
    history = [{"val_accuracy": a, "learning_rate": r} for a, r in ((0.1, 0.2), (0.3, 0.1))]
    for name in ("maxout_mnist", "maxout_svhn", "maxout_cifar10"):
        first_stage(tmp_path / name, name, history)
    model, _, _ = compiled("maxout_mnist", stage=2, from_run=str(tmp_path / "maxout_mnist"))
    model.optimizer.iterations.assign(100_000)
    np.testing.assert_allclose(model.optimizer.learning_rate, 0.1)  # stays; no epoch 3 to look at
    model, callbacks, _ = compiled("maxout_svhn", stage=2, from_run=str(tmp_path / "maxout_svhn"))
    np.testing.assert_allclose(model.optimizer.learning_rate, 0.0086)
    np.testing.assert_allclose(model.optimizer.momentum, 0.9)
    assert [c.epochs for c in callbacks if isinstance(c, StopAfter)] == [9]
    _, callbacks, _ = compiled("maxout_cifar10", stage=2, from_run=str(tmp_path / "maxout_cifar10"))
    assert [c.epochs for c in callbacks if isinstance(c, StopAfter)] == [2]
    _, callbacks, _ = compiled("maxout_cifar10", stage=2)
    assert not [c for c in callbacks if isinstance(c, StopAfter)]


@pytest.mark.slow
def test_mnist_goes_on_from_the_best_weights_until_validation_matches(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert train_on_digits("maxout_mnist_pi", first, "--epochs=5", width=1.0, limit=200) == 0
    best = runs.open_run(first).load_model("best", compiled=True)
    more = {"stage": 2, "from_run": first, "width": 1.0, "limit": 200}
    assert train_on_digits("maxout_mnist_pi", second, "--epochs=60", **more) == 0
    run = runs.open_run(second)
    history = run.history()
    assert 1 <= len(history) < 60
    seen = run.recipe.data({**runs.open_run(first).config, "epochs": 1}, "train", 0, 1)
    target = best.evaluate(seen, verbose=0, return_dict=True)["loss"]
    assert history[-1]["val_loss"] <= target
    assert all(row["val_loss"] > target for row in history[:-1])
    # It began where stage 1 was best, and doesn't begin again, or go on, when resumed.
    assert history[0]["loss"] < runs.open_run(first).history()[1]["loss"]
    weights = run.load_model().get_weights()
    assert call(f"--out={second}", "--resume") == 0
    assert [row["val_loss"] for row in run.history()] == [row["val_loss"] for row in history]
    for before, after in zip(weights, run.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_cifar_begins_anew_for_as_many_epochs(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    history = [{"val_accuracy": a} for a in (0.5, 0.4, 0.4)]
    first_stage(first, "maxout_cifar10", history)  # its weights couldn't be read
    more = {"stage": 2, "from_run": first}
    assert train_on_digits("maxout_cifar10", second, "--epochs=5", **more) == 0
    (row,) = runs.open_run(second).history()
    assert "val_loss" not in row  # nothing is held out
    assert call(f"--out={second}", "--resume") == 0
    assert len(runs.open_run(second).history()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: None, "stage=2 builds on a run of stage 1: --set from_run=DIR"),
        (lambda folder: folder / "none", "is not a directory"),
        (lambda folder: folder / "two", "is not the run of a stage 1 (maxout_mnist)"),
        (lambda folder: folder / "nin", "is not the run of a stage 1 (nin_mnist)"),
        (lambda folder: folder / "new", "new has no best.weights.h5"),
        (lambda folder: folder / "stopped", "stopped isn't finished, it stands at epoch 1 of 1000"),
        (lambda folder: folder / "loss", "loss/history.csv has no values of 'val_accuracy'"),
    ],
)
def test_refuses(tmp_path, capsys, change, said):
    rows = [{"val_accuracy": 0.1, "learning_rate": 0.1}]
    first_stage(tmp_path / "two", "maxout_mnist", rows, stage=2)
    first_stage(tmp_path / "nin", "nin_mnist", rows)
    first_stage(tmp_path / "new", "maxout_mnist", rows)
    (tmp_path / "new" / "best.weights.h5").unlink()
    first_stage(tmp_path / "stopped", "maxout_mnist", rows)
    (tmp_path / "stopped" / "model.keras").unlink()
    first_stage(tmp_path / "loss", "maxout_mnist", [{"loss": 0.1}])
    out = tmp_path / "out"
    assert train_on_digits("maxout_mnist", out, stage=2, from_run=change(tmp_path)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "name", ["maxout_mnist_pi", "maxout_mnist", "maxout_cifar10", "maxout_svhn"]
)
def test_there_are_two_stages(name):
    with pytest.raises(UserError, match="stage must be 1 or 2, got 3"):
        compiled(name, stage=3)


def test_first_run_is_opened_with_its_best_epoch(tmp_path):
    rows = [{"val_accuracy": a, "val_loss": b} for a, b in ((0.5, 1.0), (0.7, 0.9), (0.6, 0.8))]
    first_stage(tmp_path, "maxout_mnist", rows)
    run, best = first_run({"from_run": str(tmp_path), "monitor": "val_accuracy"})
    assert run.path == tmp_path
    assert best == {"epoch": 2, "val_accuracy": 0.7, "val_loss": 0.9}
    _, best = first_run({"from_run": str(tmp_path), "monitor": "val_loss"})
    assert best["epoch"] == 3


def line(weight):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((1, 1), weight, "float32")])
    model.compile("sgd", "mse")
    return model


ZERO = np.zeros((4, 1), "float32")  # as inputs: nothing is learnt


def test_start_from(tmp_path):
    line(3.0).save_weights(tmp_path / "it.weights.h5")
    model = line(1.0)
    values = []

    def then(model):
        values.append(float(model.get_weights()[0][0, 0]))

    start = StartFrom(tmp_path / "it.weights.h5", then)
    for _ in range(2):
        model.fit(ZERO, ZERO, verbose=0, callbacks=[start])
    assert values == [3.0]  # once
    assert start.get_state() == {"done": True}
    resumed = StartFrom(tmp_path / "it.weights.h5", then)
    resumed.set_state(json.loads(json.dumps(start.get_state())))
    model = line(1.0)
    model.fit(ZERO, ZERO, verbose=0, callbacks=[resumed])
    assert model.get_weights()[0] == 1.0
    other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    other.compile("sgd", "mse")
    with pytest.raises(UserError, match=r"it\.weights\.h5 holds the weights of another model"):
        other.fit(ZERO, ZERO, verbose=0, callbacks=[StartFrom(tmp_path / "it.weights.h5")])


def test_stop_after():
    stop = StopAfter(3)
    assert len(line(1.0).fit(ZERO, ZERO, epochs=9, verbose=0, callbacks=[stop]).epoch) == 3
    assert stop.finished
    again = StopAfter(3)
    assert not again.finished
    again.set_state(json.loads(json.dumps(stop.get_state())))
    assert again.finished
