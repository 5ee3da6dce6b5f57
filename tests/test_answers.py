"""What the scripts say of nets whose outputs are no probabilities, NaN, or always the same."""

import json

import pytest
from PIL import Image
from scripts import call
from small_recipes import untrained_run

from tfcnns import answers, evaluate, plot, predict, runs
from tfcnns.errors import UserError

RECIPE = """
import keras

from tfcnns.recipes import nin_digits
from tfcnns.recipes.nin_digits import compile, config, data, view


def model(config):
    net = nin_digits.model(config)
    return keras.Model(net.input, {})
"""
SCORES = "net.get_layer('gap').output"  # without the softmax


@pytest.fixture
def run_with(tmp_path):
    """Function of what a model gives, a text: a run of nin_digits that gives that instead."""

    def make(outputs):
        recipe = tmp_path / "mine.py"
        recipe.write_text(RECIPE.format(outputs))
        return untrained_run(tmp_path / "run", recipe, size=8)

    return make


@pytest.fixture
def pictures(tmp_path):
    files = [tmp_path / f"{grey}.png" for grey in (40, 200)]
    for file in files:
        Image.new("L", (8, 8), int(file.stem)).save(file)
    return files


@pytest.mark.parametrize(
    "outputs",
    [
        SCORES,
        f"keras.ops.sigmoid({SCORES})",
        f"keras.layers.Dense(1, 'sigmoid')({SCORES})",
    ],
)
def test_outputs_that_are_no_probabilities_are_refused(run_with, pictures, capsys, outputs):
    run = run_with(outputs)
    for script, files in ((evaluate, []), (predict, pictures), (plot, [])):
        assert call(script, f"--run={run.path}", *files) == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: the model's outputs are no probabilities: expected two")
        assert said.err.count("\n") == 1
    assert not (run.path / "evaluation.json").exists()


def strict(text):
    """The value of a text that is JSON by its standard, which has no NaN."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_net_that_has_diverged(run_with, pictures, capsys):
    run = run_with("net.output * float('nan')")
    assert call(evaluate, f"--run={run.path}") == 0
    said = capsys.readouterr().out
    assert "test error 100.00 % (400 of 400), loss NaN" in said
    assert "top-5 error 100.00 %" in said
    assert "outputs are NaN for 400 of 400 images, which count as wrong: it has diverged" in said
    result = strict((run.path / "evaluation.json").read_text())
    assert (result["error"], result["top5_error"], result["loss"]) == (1, 1, None)
    assert call(predict, f"--run={run.path}", "--json", *pictures) == 0
    assert [row["classes"] for row in strict(capsys.readouterr().out)] == [[], []]
    assert call(predict, f"--run={run.path}", *pictures) == 0
    assert capsys.readouterr().out.count("no answer: the model's outputs are NaN") == 2
    assert call(plot, f"--run={run.path}") == 0
    assert "it has diverged" in (run.path / "report.html").read_text()


def test_a_net_that_is_dead(run_with, pictures, capsys):
    run = run_with("net.output * 0 + 0.1")
    assert call(evaluate, f"--run={run.path}") == 0
    result = strict((run.path / "evaluation.json").read_text())
    per_class = [sum(row) for row in result["confusion"]]
    assert result["error"] == pytest.approx(1 - per_class[0] / 400)  # of equal ones the first
    assert result["top5_error"] == pytest.approx(1 - sum(per_class[:5]) / 400)
    assert "says the same of every image: it is dead" in capsys.readouterr().out
    assert call(predict, f"--run={run.path}", "--top=5", *pictures) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.split()[1::3] for line in lines[:2]]
    assert found == [["0", "1", "2", "3", "4"]] * 2
    assert lines[2].startswith("the model says the same of every image")


def test_names_are_those_of_the_models_classes(run_with, pictures, capsys):
    run = run_with("net.output")
    assert answers.class_names(run, 10) == list("0123456789")
    run.update_config({**run.config, "class_names": ("a", "b")})
    with pytest.raises(UserError, match=r"must name the model's 10 classes\. Received: 2 names"):
        answers.class_names(run, 10)
    for script, files in ((evaluate, []), (predict, pictures), (plot, [])):
        assert call(script, f"--run={run.path}", *files) == 2
        assert "class_names of" in capsys.readouterr().err
    run.update_config({**run.config, "class_names": None})
    assert answers.class_names(runs.open_run(run.path), 3) == ["0", "1", "2"]


def test_a_test_split_smaller_than_the_batch(run_with, capsys):
    run = run_with("net.output")
    run.update_config({**run.config, "batch_size": 1000})
    assert call(evaluate, f"--run={run.path}") == 0
    assert "of 400)" in capsys.readouterr().out
