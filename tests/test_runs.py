"""The run directory: made once, opened by anyone, never half there."""

import json
import pathlib
import subprocess
import sys
import zipfile

import pytest

from tfcnns import files, runs
from tfcnns.errors import UserError

RECIPE = """
def config():
    return {"epochs": 2, "shape": (1, 2)}
def data(config, split, worker, workers): ...
def model(config): ...
def compile(model, config): ...
"""


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(RECIPE)
    return file


def make(tmp_path, recipe, **kwargs):
    return runs.create_run(tmp_path / "run", recipe, {"epochs": 2, "shape": (1, 2)}, **kwargs)


def test_a_run_opens_with_nothing_but_its_directory(tmp_path, recipe):
    make(tmp_path, recipe, flags={"deterministic": True})
    recipe.unlink()
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    run = runs.open_run(moved)
    assert run.name == "mine"
    assert run.config == {"epochs": 2, "shape": (1, 2)}
    assert run.settings["flags"] == {"deterministic": True}
    assert run.recipe.config() == run.config
    assert run.settings["versions"]["keras"]
    assert run.history() == []
    assert not run.finished


@pytest.mark.parametrize("there", ["nothing", "a file", "an empty directory"])
def test_opening_what_is_no_run_says_so(tmp_path, there):
    path = tmp_path / "x"
    if there == "a file":
        path.touch()
    elif there == "an empty directory":
        path.mkdir()
    with pytest.raises(UserError, match="x is not a"):
        runs.open_run(path)


MODEL = RECIPE.replace(
    "def model(config): ...",
    "from keras import Input, Sequential, layers\n"
    "def model(config): return Sequential([Input((9,)), layers.Dense(9)])",
)


def test_files_that_are_cut_off_are_named(tmp_path, recipe):
    recipe.write_text(MODEL)
    run = make(tmp_path, recipe)
    model = run.recipe.model(run.config)
    model.save(run.path / "model.keras")
    model.save_weights(run.path / "last.weights.h5")
    run.load_model()
    run.load_model("last")
    whole = (run.path / "model.keras").read_bytes()
    for damaged in (b"", whole[:-1], whole[:-2000], whole.replace(b"Dense", b"Danse")):
        (run.path / "model.keras").write_bytes(damaged)
        with pytest.raises(UserError, match=r"model\.keras is damaged: expected a whole \.keras"):
            run.load_model()
    with zipfile.ZipFile(run.path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(UserError, match=r"metadata\.json isn't in it"):
        run.load_model()
    (run.path / "model.keras").write_bytes(whole)
    for name, weights in (("model.keras", "final"), ("last.weights.h5", "last")):
        file = run.path / name
        file.write_bytes(file.read_bytes()[:2000])
        with pytest.raises(UserError, match=f"{name} is damaged"):
            run.load_model(weights)
    (run.path / "run.json").write_text('{"recipe": ')
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        runs.open_run(run.path)


def test_a_run_is_never_overwritten_unasked(tmp_path, recipe):
    run = make(tmp_path, recipe)
    (run.path / "model.keras").write_text("precious")
    with pytest.raises(UserError, match="--overwrite"):
        make(tmp_path, recipe)
    assert (run.path / "model.keras").read_text() == "precious"
    make(tmp_path, recipe, overwrite=True)
    assert sorted(p.name for p in run.path.iterdir()) == ["recipe.py", "run.json"]


def test_overwrite_follows_no_link(tmp_path, recipe):
    run = make(tmp_path, recipe)
    elsewhere = tmp_path / "large disk"
    elsewhere.mkdir()
    (elsewhere / "step-00000001").touch()
    run.checkpoints.symlink_to(elsewhere)
    (run.path / "plots").mkdir()
    make(tmp_path, recipe, overwrite=True)
    assert sorted(p.name for p in run.path.iterdir()) == ["recipe.py", "run.json"]
    assert [p.name for p in elsewhere.iterdir()] == ["step-00000001"]


def test_a_run_that_cannot_be_moved_aside_stays(tmp_path, recipe, monkeypatch):
    run = make(tmp_path, recipe)
    for name in ("history.csv", "model.keras", "report.html"):
        (run.path / name).write_text(name)
    before = {path.name: path.read_text() for path in run.path.iterdir()}
    rename = pathlib.Path.rename

    def fails(self, target):  # as where something is mounted
        if self.name == "model.keras":
            raise OSError(16, "Device or resource busy", str(self))
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", fails)
    with pytest.raises(OSError, match="busy"):
        make(tmp_path, recipe, overwrite=True)
    after = {path.name: path.read_text() for path in run.path.iterdir()}
    assert {**before, "lock": ""} == after


def test_overwrite_deletes_nothing_that_no_run_makes(tmp_path, recipe):
    run = make(tmp_path, recipe)
    (run.path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"also holds thesis\.tex: move it away first"):
        make(tmp_path, recipe, overwrite=True)
    (run.path / "thesis.tex").rename(tmp_path / "thesis.tex")
    make(tmp_path, recipe, overwrite=True)


def test_leftovers_of_a_killed_process_are_no_run_and_go_with_the_next(tmp_path, recipe):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    left = tmp_path / "run" / f"tmp-{ended.pid}-run.json"
    left.touch()
    (tmp_path / "run" / "checkpoints").rmdir()
    assert runs.is_free(tmp_path / "run")
    run = make(tmp_path, recipe)
    run.checkpoints.mkdir()
    state = run.checkpoints / f"tmp-{ended.pid}"
    state.mkdir()
    with run.lock():
        assert not left.exists()
        assert not state.exists()


@pytest.mark.parametrize("name", ["recipe", "config", "flags", "versions"])
def test_a_run_json_without_a_key_is_named(tmp_path, recipe, name):
    run = make(tmp_path, recipe)
    settings = json.loads((run.path / "run.json").read_text())
    del settings[name]
    (run.path / "run.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=rf"run\.json is damaged: it lacks '{name}'"):
        runs.open_run(run.path)


@pytest.mark.parametrize("text", ["[]", '"x"', "3", '{"recipe": 3}'])
def test_a_run_json_of_another_kind_is_named(tmp_path, recipe, text):
    run = make(tmp_path, recipe)
    (run.path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        runs.open_run(run.path)


def test_a_config_without_a_setting_of_its_recipe_takes_its_value(tmp_path, recipe, caplog):
    run = make(tmp_path, recipe)
    settings = json.loads((run.path / "run.json").read_text())
    del settings["config"]["shape"]
    (run.path / "run.json").write_text(json.dumps(settings))
    opened = runs.open_run(run.path)
    opened.recipe  # noqa: B018
    assert "lacks settings that the recipe has; its own are taken: shape=(1, 2)" in caplog.text
    assert opened.config == run.config


def test_paths_are_kept_absolute_and_inside_the_run_relative(tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"epochs": 2, "shape": (1, 2), "data": "folder:pets", "data_dir": "run/sets"}
    run = runs.create_run("run", recipe, config)
    kept = json.loads((run.path / "run.json").read_text())["config"]
    assert kept["data"] == f"folder:{tmp_path}/pets"
    assert kept["data_dir"] == "sets"
    (tmp_path / "run" / "sets").mkdir()
    (tmp_path / "run").rename(tmp_path / "moved")
    monkeypatch.chdir("/")
    moved = runs.open_run(tmp_path / "moved")
    assert moved.config["data"] == f"folder:{tmp_path}/pets"
    assert moved.config["data_dir"] == f"{tmp_path}/moved/sets"
    moved.update_config({**moved.config, "epochs": 3})
    assert json.loads((moved.path / "run.json").read_text())["config"] == {**kept, "epochs": 3}


def test_overwrite_leaves_what_is_no_run_alone(tmp_path, recipe):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else"):
        make(tmp_path, recipe, overwrite=True)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


def test_a_config_that_cannot_be_kept_writes_nothing(tmp_path, recipe):
    with pytest.raises(TypeError):
        runs.create_run(tmp_path / "run", recipe, {"bad": object()})
    assert not (tmp_path / "run").exists()


HOLD = """
import sys, time
from tfcnns import files, runs
with runs.open_run(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_has_one_trainer_at_a_time(tmp_path, recipe):
    run = make(tmp_path, recipe)
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(UserError, match="another process"), run.lock():
                pass
            with pytest.raises(UserError, match="another process"):
                make(tmp_path, recipe, overwrite=True)
        finally:
            other.kill()  # the system lets go of a dead process's lock
    with run.lock():
        pass


def test_whole_files_or_none(tmp_path):
    file = tmp_path / "a.weights.h5"
    files.write_whole(file, b"old")

    def write_badly():
        with files.whole(file) as temporary:
            assert temporary.name.endswith(".weights.h5")  # Keras looks at the ending
            temporary.write_bytes(b"half of the n")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_badly()
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.weights.h5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RECIPE.replace("def model", "def mode"), "no function model"),
        (RECIPE.replace("def data", "data"), r"r\.py, line 4: "),
        (None, "no recipe file"),
    ],
)
def test_what_is_no_recipe(tmp_path, text, message):
    file = tmp_path / "r.py"
    if text:
        file.write_text(text)
    with pytest.raises(UserError, match=message):
        runs.load_recipe(file)


def test_history_reads_numbers(tmp_path, recipe):
    run = make(tmp_path, recipe)
    (run.path / "history.csv").write_text("epoch,loss,val_loss\n1,0.5,\n2,nan,0.25\n")
    first, second = run.history()
    assert first == {"epoch": 1, "loss": 0.5, "val_loss": None}
    assert second["loss"] != second["loss"]
    assert second["val_loss"] == 0.25


@pytest.mark.parametrize("text", [b"epoch,loss\n1,x\n", b"epoch\n1,2\n", b"epoch,loss\n\xff,1\n"])
def test_a_damaged_history_is_named(tmp_path, recipe, text):
    run = make(tmp_path, recipe)
    (run.path / "history.csv").write_bytes(text)
    with pytest.raises(UserError, match=r"history\.csv is damaged"):
        run.history()


def test_run_json_is_for_people_too(tmp_path, recipe):
    run = make(tmp_path, recipe)
    text = (run.path / "run.json").read_text()
    assert json.loads(text)["recipe"] == "mine"
    assert text.count("\n") > 10


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, tfcnns, tfcnns.runs, tfcnns.recipes, tfcnns.train; " + (
        "print([m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
