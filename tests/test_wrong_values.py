"""What the user sets wrong is named in one line before a run is made; a defect keeps its traceback.

WRONG has wrong values of every setting of every recipe.
"""

import importlib
import os

import pytest
from scripts import call
from small_recipes import no_eigenvectors, settings  # noqa: F401  a fixture

from tfcnns import predict, recipes, runs, train
from tfcnns.errors import UserError
from tfcnns.training import trainer
from tfcnns.training.settings import blame, parse_pairs, with_class_names, with_values

WHOLE = ("0", "-5", "1.5", "foo", "(1,)")
RATE = ("-1", "1.5", "1e999", "-1e999", "None", "foo", "nan")
PART = ("-1", "1e999", "foo", "()")
CHOICE = ("foo", "", "None")
PAIR = ("(1,)", "(-1.0, 1.0)", "('x', 'y')", "()", "5", "(None, None)", "(0.1, 1e999)")
SWITCH = ("foo", "2")

WRONG = {
    "epochs": WHOLE,
    "batch_size": WHOLE,
    "learning_rate": ("0", "-1", "1e999", "foo", "None"),
    "seed": ("-1", "1.5", "foo"),
    "first_step": ("-5", "1.5", "foo"),
    "momentum": RATE,
    "final_momentum": RATE,
    "second_momentum": (),
    "second_rate": ("foo", "1e999"),
    "second_epochs": ("1.5", "foo"),
    "weight_decay": ("-1", "1e999", "None", "foo"),
    "dropout": ("-1", "2", "1e999", "foo"),
    "width": ("0", "-1", "None", "1e999", "foo"),
    "shift": ("-5", "None", "foo"),
    "pad": ("-5", "1.5", "foo"),
    "top": CHOICE,
    "activation": ("foo",),
    "last_activation": ("foo", "5"),
    "initializer": ("foo", "5"),
    "net": CHOICE,
    "lrn": ("foo",),
    "augment": ("foo", "5"),
    "half": SWITCH,
    "resize": SWITCH,
    "scale_at_test": SWITCH,
    "overlapping_pool": SWITCH,
    "boxes_per_class": SWITCH,
    "weighted": SWITCH,
    "download": SWITCH,
    "drop": ("('x',)", "5", "(5,)"),
    "towers": ("0", "-2", "1.5", "foo"),
    "devices": ("5", "('/CPU:0',)"),
    "form": CHOICE,
    "lighting": ("foo", "", "None"),
    "views": CHOICE,
    "variant": CHOICE,
    "optimizer": CHOICE,
    "overlap": CHOICE,
    "choose": CHOICE,
    "warmup": ("-5", "foo"),
    "cuts": ("('x',)", "(-1,)", "(1.5,)", "5"),
    "halvings": ("('x',)", "(-1,)", "(1.5,)", "5"),
    "patience": WHOLE,
    "monitor": CHOICE,
    "statistics": WHOLE,
    "stage": ("0", "3", "foo", "None"),
    "from_run": (),
    "data": CHOICE,
    "data_dir": (),
    "split": CHOICE,
    "localize_on": (),
    "limit": WHOLE,
    "test_limit": WHOLE,
    "input_shape": ("(32, 32)", "()", "(0, 8, 3)", "('x', 'y', 'z')", "5", "None", "(8, 8, None)"),
    "size": WHOLE,
    "short_side": WHOLE,
    "classes": ("0", "-5", "1.5", "foo"),
    "class_names": ("('x',)", "5", "(1, 2)"),
    "channels": ("0", "7", "foo"),
    "scales": ("()", "(0,)", "(-5, 36)", "('x',)", "5", "None"),
    "jitter": PART,
    "about": PART,
    "least": PART,
    "positive": PART,
    "match": PART,
    "fill": PAIR,
    "sides": PAIR,
    "positive_sides": PAIR,
    "near_sides": PAIR,
    "negatives": WHOLE,
    "k": WHOLE,
    "window_score": ("foo", "1e999"),
    "least_score": ("-1", "foo", "1e999"),
    "category_ids": ("('x',)", "5"),
}


def prepare(name, **given):
    """What `train` does with a recipe's config before it makes the run."""
    recipe = runs.load_recipe(recipes.find(name))
    own = recipe.config()
    given = {**settings(name, batch_size=8), **given}
    config = with_class_names(with_values(own, given), own)
    parts = blame(lambda config: trainer.prepare(recipe, config), config, own)
    if config.get("monitor") != own.get("monitor"):
        trainer.check_monitor(parts)
    return parts


def accepted(name, only=None):
    """The wrong values of a recipe's settings that aren't refused in a line with their name."""
    found = []
    for key in runs.load_recipe(recipes.find(name)).config():
        for value in WRONG[key] if only is None or key in only else ():
            try:
                prepare(name, **parse_pairs([f"{key}={value}"]))
                found.append((key, value, "accepted"))
            except UserError as error:
                if key not in str(error) and "data set" not in str(error):
                    found.append((key, value, str(error)))
    return found


def test_every_setting_has_wrong_values():
    settings_ = {key for name in recipes.names() for key in runs.load_recipe(
        recipes.find(name)).config()}  # fmt: skip
    assert settings_ == set(WRONG)


def test_a_recipe_refuses_what_is_wrong():
    assert accepted("nin_digits") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.names())
def test_all_recipes_refuse_what_is_wrong(name, no_eigenvectors):  # noqa: F811
    assert accepted(name) == []


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("dropout=2", "dropout=2.0: `dropout` must be a finite number"),
        ("shift=-1", "shift must be from 0 to 8, got -1"),
        ("last_activation=foo", "last_activation='foo': `last_activation` must be"),
        ("size=0", "size must be a whole number above 0, got 0"),
        ("class_names=('a', 'b')", "class_names must name the model's 10 classes. Received: 2"),
    ],
)
def test_the_script_ends_with_one_line_and_makes_no_run(tmp_path, capsys, value, line):
    flags = ["--recipe=nin_digits", "--set=size=8", f"--set={value}", "--xla=off"]
    assert call(train, *flags, f"--out={tmp_path}/run") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


RECIPE = """
import keras
import tensorflow as tf


def config():
    return {"epochs": 1, "batch_size": 2, "units": 3, "rate": 0.5, "monitor": "loss", "defect": 0}


def data(config, split, worker=0, workers=1):
    images, labels = tf.zeros([4, 2, 2, 1]), tf.constant([0, 1, 2, 0])
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(2)


def model(config):
    net = keras.Sequential(LAYERS)
    if len(net.layers) > 9 or BROKEN:
        raise ValueError("a defect")
    return net


def compile(model, config):
    model.compile("sgd", "sparse_categorical_crossentropy")
"""
LAYERS = (
    "[keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dropout(config['rate']), "
    "keras.layers.Dense(config['units'], 'softmax')]"
)


def own_recipe(folder, layers=LAYERS, broken=False):
    file = folder / "mine.py"
    file.write_text(RECIPE.replace("LAYERS", layers).replace("BROKEN", str(broken)))
    return file


def test_of_several_values_the_one_to_blame_is_named(tmp_path, capsys):
    recipe = own_recipe(tmp_path)
    flags = ["--set=units=5", "--set=rate=7", "--set=batch_size=1"]
    assert call(train, f"--recipe={recipe}", f"--out={tmp_path}/run", *flags) == 2
    assert capsys.readouterr().err.startswith("error: rate=7.0: Invalid value received")
    flags = ["--set=units=-5", "--set=rate=7"]  # both are: the first that fails
    assert call(train, f"--recipe={recipe}", f"--out={tmp_path}/run", *flags) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("values", [[], ["--set=units=5", "--set=rate=0.25"]])
def test_a_defect_keeps_its_traceback_whatever_was_set(tmp_path, values):
    recipe = own_recipe(tmp_path, broken=True)
    with pytest.raises(ValueError, match=r"^a defect$"):
        train.run(["train", f"--recipe={recipe}", f"--out={tmp_path}/run", *values])
    assert not (tmp_path / "run").exists()


def test_only_refusals_are_blamed_on_values():
    def call_with(error, good=1):
        def call_(config):
            if config["a"] != good:
                raise error
            return "done"

        return call_

    own = {"a": 1, "b": 2}
    assert blame(call_with(ValueError("no")), own, own) == "done"
    with pytest.raises(UserError, match=r"^a=5: no$"):
        blame(call_with(TypeError("no")), {"a": 5, "b": 3}, own)
    for error in (KeyError("no"), IndexError("no"), ZeroDivisionError("no")):
        with pytest.raises(type(error)):
            blame(call_with(error), {"a": 5, "b": 3}, own)
    with pytest.raises(ValueError, match=r"^no$") as caught:
        blame(call_with(ValueError("no"), good=9), {"a": 1, "b": 3}, own)
    assert not isinstance(caught.value, UserError)


def test_an_unbuilt_model_is_refused_before_there_is_a_run(tmp_path, capsys):
    recipe = own_recipe(tmp_path, layers="[keras.layers.Flatten(), keras.layers.Dense(3)]")
    assert call(train, f"--recipe={recipe}", f"--out={tmp_path}/run") == 2
    assert "knows the shape of its input: begin it with keras.Input" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_images_that_the_model_does_not_take_and_a_monitor_that_nothing_logs(tmp_path, capsys):
    other = LAYERS.replace("(2, 2, 1)", "(2, 3, 1)")
    recipe = own_recipe(tmp_path, layers=other)
    assert call(train, f"--recipe={recipe}", f"--out={tmp_path}/run") == 2
    assert "images (2, 2, 1), its model takes (2, 3, 1)" in capsys.readouterr().err
    recipe = own_recipe(tmp_path)
    assert call(train, f"--recipe={recipe}", f"--out={tmp_path}/run", "--set=monitor=foo") == 2
    said = capsys.readouterr().err
    assert said == "error: monitor must be one of loss, val_loss. Received: 'foo'\n"
    assert not (tmp_path / "run").exists()


def test_a_stall_of_the_validation_needs_one():
    with pytest.raises(UserError, match="StopWhenStalled watches val_accuracy, but no images are"):
        prepare("maxout_mnist_pi", split="train+validation")


def test_a_recipe_that_needs_its_neighbour_is_refused(tmp_path, capsys, monkeypatch):
    """Its run would hold recipe.py alone, and be opened from elsewhere."""
    (tmp_path / "neighbour_of_mine.py").write_text("LAYERS = 1\n")
    recipe = own_recipe(tmp_path)
    recipe.write_text("from neighbour_of_mine import LAYERS\n" + recipe.read_text())
    flags = [f"--recipe={recipe}", f"--out={tmp_path}/run"]
    assert call(train, *flags) == 2  # it isn't found from here
    assert "imports neighbour_of_mine, which isn't installed" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as `python -m` does
    assert call(train, *flags) == 2
    assert f"imports neighbour_of_mine from {tmp_path}, which its run" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    monkeypatch.syspath_prepend(str(tmp_path / "else"))
    runs.check_alone(recipe)  # that directory is on the path for everyone


SCRIPTS = {
    "evaluate": [],
    "plot": [],
    "predict": ["x.png"],
    "detect": ["--out={out}", "x.png"],
    "features": ["--layer=gap", "--out={out}.npz", "x.png"],
}


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("script", [*SCRIPTS, "train"])
def test_every_script_wants_the_backend_it_works_with(
    tmp_path, capsys, monkeypatch, script, backend
):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    module = importlib.import_module(f"tfcnns.{script}")
    path = recipes.find("nin_digits")
    run = runs.create_run(tmp_path / "run", path, runs.load_recipe(path).config())
    flags = [flag.format(out=tmp_path / "out") for flag in SCRIPTS.get(script, [])]
    where = ["--recipe=nin_digits", f"--out={tmp_path}/new"]
    assert call(module, *(where if script == "train" else [f"--run={run.path}"]), *flags) == 2
    assert f"Keras' TensorFlow backend, which KERAS_BACKEND names. Received: {backend}\n" in (
        capsys.readouterr().err
    )


def test_a_name_that_is_not_utf8_is_named(tmp_path, capsys):
    name = os.fsdecode(bytes(tmp_path / "caf") + b"\xe9.png")
    assert call(predict, "--run=run", name) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/caf\\xe9.png: expected a name in UTF-8; rename the file\n"
    )
