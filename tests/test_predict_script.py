"""From a trained run to guesses about image files, and what they can't be made of."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scripts import call

from tfcnns import evaluate, plot, predict, train
from tfcnns.pipelines import digits
from tfcnns.plots import run_report


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("predict") / "run"
    flags = ["--epochs=12", "--set=size=8", "--set=dropout=0.0"]
    assert call(train, "--recipe=nin_digits", f"--out={out}", *flags) == 0
    return out


@pytest.fixture
def digit_files(tmp_path):
    """One test digit of each class as a PNG file of the size the model sees."""
    images, labels = digits.load_digits("test", size=8)
    files = []
    for label in range(10):
        files.append(tmp_path / f"{label}.png")
        Image.fromarray(images[labels == label][0, :, :, 0]).save(files[-1])
    return files


def guesses(capsys, run, *arguments):
    assert call(predict, f"--run={run}", "--json", *arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_files_give_what_the_arrays_give(run, digit_files, capsys):
    from tfcnns import runs

    found = guesses(capsys, run, *digit_files)
    images, labels = digits.load_digits("test", size=8)
    first = np.stack([images[labels == label][0] for label in range(10)])
    scores = runs.open_run(run).load_model().predict_on_batch(first)
    assert [g["file"] for g in found] == [str(f) for f in digit_files]
    for guess, row in zip(found, scores, strict=True):
        assert guess["classes"][0]["class"] == str(row.argmax())
        assert guess["classes"][0]["probability"] == pytest.approx(row.max(), abs=1e-5)
        values = [c["probability"] for c in guess["classes"]]
        assert values == sorted(values, reverse=True)
        assert len(values) == 3
    right = sum(g["classes"][0]["class"] == str(c) for c, g in enumerate(found))
    assert right >= 8  # a net of a few epochs; chance is 1 of 10


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_any_mode_and_size(run, tmp_path, capsys, mode):
    gradient = np.arange(50 * 30, dtype="uint16").reshape(50, 30)
    image = Image.fromarray(gradient) if mode == "I;16" else Image.new("L", (30, 50), 90)
    file = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    (image if mode == "I;16" else image.convert(mode)).save(file)
    for fit in ("crop", "stretch", "pad"):
        (guess,) = guesses(capsys, run, f"--fit={fit}", file)
        assert sum(c["probability"] for c in guess["classes"]) <= 1.00001


def test_dark_ink_on_white_paper(run, digit_files, tmp_path, capsys):
    dark = []
    for file in digit_files:
        dark.append(tmp_path / f"dark-{file.name}")
        Image.fromarray(255 - np.asarray(Image.open(file))).save(dark[-1])
    bright = guesses(capsys, run, *digit_files)
    inverted = guesses(capsys, run, "--invert", *dark)
    assert [g["classes"] for g in bright] == [g["classes"] for g in inverted]


def test_the_table_has_a_line_an_image(run, digit_files, capsys):
    assert call(predict, f"--run={run}", "--top=1", *digit_files[:2]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(str(digit_files[0]))
    assert lines[0].endswith(" %")


@pytest.mark.parametrize("more", [(), ("--fit=pad",), ("--background=0",)])
def test_bad_files_are_named_and_the_others_go_on(run, digit_files, tmp_path, capsys, more):
    (tmp_path / "text.png").write_text("no pixels here")
    (tmp_path / "empty.png").touch()
    (tmp_path / "a_directory").mkdir()
    digit_files[3].with_name("cut.png").write_bytes(digit_files[3].read_bytes()[:-20])
    bad = [tmp_path / f"{name}.png" for name in ("missing", "text", "empty", "cut")]
    bad.append(tmp_path / "a_directory")
    given = [bad[0], digit_files[0], *bad[1:], digit_files[1], digit_files[1]]
    good = [digit_files[0], digit_files[1], digit_files[1]]
    expected = guesses(capsys, run, *more, *good)
    assert call(predict, f"--run={run}", "--json", *more, *given) == 1
    printed, error = capsys.readouterr()
    assert json.loads(printed) == expected
    assert error.splitlines()[-6:] == [
        "error: 5 of 8 images couldn't be read:", *(f"  {file}" for file in bad)
    ]  # fmt: skip
    assert all(line.startswith("error: ") for line in error.splitlines()[:-5])
    assert call(predict, f"--run={run}", *more, *given) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert call(predict, f"--run={run}", "--json", *more, *bad) == 1
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("script", [predict, evaluate, plot])
@pytest.mark.parametrize("flags", [[], ["--run=no/such/run"], ["--weights=worst"]])
def test_mistakes_of_the_other_scripts(script, flags, capsys, tmp_path):
    more = [tmp_path / "x.png"] if script is predict else []
    assert call(script, *flags, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_evaluation_and_report_come_from_the_saved_model(run, capsys):
    assert call(evaluate, f"--run={run}") == 0
    assert "test error" in capsys.readouterr().out
    result = json.loads((run / "evaluation.json").read_text())
    assert result["examples"] == 400
    assert result["epochs"] == len((run / "history.csv").read_text().splitlines()) - 1
    assert np.sum(result["confusion"]) == 400
    assert np.trace(result["confusion"]) == 400 - result["errors"]
    for weights in ("best", "last"):
        assert call(evaluate, f"--run={run}", f"--weights={weights}", "--split=validation") == 0
    assert call(plot, f"--run={run}") == 0
    page = (run / "report.html").read_text()
    headings = ["Learning curves", "First filters", "Confusion matrix", "Worst mistakes"]
    headings += ["Class maps", "Nearest images"]
    assert re.findall(r"<h2>(.*?)</h2>", page) == headings
    assert f"({result['errors']} of 400 images)" in page
    files = {f"{h.lower().replace(' ', '_')}.{kind}" for h in headings for kind in ("png", "svg")}
    assert {p.name for p in (run / "plots").iterdir()} == files


def test_runs_are_compared(run, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "run")  # a folder of the same name
    assert call(plot, f"--run={run}", f"--compare={other}") == 0
    page = (run / "report.html").read_text()
    assert "<h2>Comparison of runs</h2>" in page
    assert "run (2): loss last" in page  # in the words that stand for the picture
    assert (run / "plots" / "comparison_of_runs.svg").exists()
    assert call(plot, f"--run={run}", *[f"--compare={other}"] * 7) == 2
    assert capsys.readouterr().err == "error: --compare: expected up to 6 runs, got 7\n"
    assert call(plot, f"--run={run}", f"--compare={run}") == 2
    assert capsys.readouterr().err == f"error: --compare: {run} is the run itself\n"
    (other / "history.csv").unlink()
    assert call(plot, f"--run={run}", f"--compare={other}") == 2
    assert capsys.readouterr().err == f"error: --compare: {other} has no epoch to draw\n"


def test_settings_for_one_evaluation(run, capsys):
    from tfcnns import runs

    assert call(evaluate, f"--run={run}", "--set=batch_size=7", "--set=seed=3") == 0
    assert json.loads((run / "evaluation.json").read_text())["set"] == ["batch_size=7", "seed=3"]
    assert runs.open_run(run).config["seed"] == 0
    capsys.readouterr()
    assert call(evaluate, f"--run={run}", "--set=sead=3") == 2
    assert "no setting 'sead', did you mean 'seed'" in capsys.readouterr().err


def test_pictures_of_other_settings_and_data(run, tmp_path, monkeypatch, capsys):
    assert call(plot, f"--run={run}", "--set=sead=3") == 2
    assert "no setting 'sead', did you mean 'seed'" in capsys.readouterr().err
    seen = []
    monkeypatch.setattr(run_report, "write", lambda run, *_: seen.append(run.config) or "page")
    assert call(plot, f"--run={run}", "--set=batch_size=7", "--set=size=8") == 0
    assert seen[0]["batch_size"] == 7
    from tfcnns import runs

    assert runs.open_run(run).config["batch_size"] == 32


def test_an_unfinished_run_says_how_to_go_on(run, tmp_path, capsys):
    import shutil

    unfinished = tmp_path / "run"
    shutil.copytree(run, unfinished)
    (unfinished / "model.keras").unlink()
    assert call(evaluate, f"--run={unfinished}") == 2
    assert "--resume" in capsys.readouterr().err


def test_a_folder_of_ones_own_brings_its_own_classes(tmp_path, capsys):
    """And an optimiser with a schedule of ours is no hindrance to a process that never saw it."""
    random = np.random.RandomState(0)
    for name in ("cat", "dog", "emu"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(12):
            pixels = random.randint(0, 256, (70, 90, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{i}.jpg")
    flags = [f"--set=data=folder:{tmp_path}/pets", "--set=width=0.05", "--epochs=1"]
    out = tmp_path / "run"
    assert call(train, "--recipe=nin_imagenet", f"--out={out}", "--batch_size=8", *flags) == 0
    file = tmp_path / "pets" / "cat" / "1.jpg"
    command = [sys.executable, "-m", "tfcnns.predict", f"--run={out}", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (guess,) = json.loads(done.stdout)
    assert {c["class"] for c in guess["classes"]} == {"cat", "dog", "emu"}
