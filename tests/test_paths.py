"""Paths in a config mean the same wherever they are read."""

import os

from tfcnns import paths


def test_only_paths_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    config = {
        "data_dir": "sets",
        "from_run": "~/runs/one",
        "data": "folder:../pets",
        "more": "records:imagenette/1.0.0",
        "name": "folder",
        "note": "see: this",
        "scales": (1, 2),
        "epochs": 3,
    }
    assert paths.absolute(config) == {
        **config,
        "data_dir": f"{tmp_path}/sets",
        "from_run": "/home/me/runs/one",
        "data": f"folder:{tmp_path.parent}/pets",
        "more": f"records:{tmp_path}/imagenette/1.0.0",
    }
    assert [name for name, _ in paths.of(config)] == ["data_dir", "from_run", "data", "more"]
    nothing = {"data_dir": None, "from_run": "", "data": "digits", "other": "gs://bucket/sets"}
    nothing["more"] = "folder:gs://bucket/pets"
    assert paths.absolute(nothing) == nothing
    assert paths.absolute(paths.absolute(config)) == paths.absolute(config)


def test_what_lies_inside_a_run_moves_with_it(tmp_path):
    (tmp_path / "run" / "pets").mkdir(parents=True)
    config = {"data": f"folder:{tmp_path}/run/pets", "data_dir": f"{tmp_path}/runs"}
    kept = paths.relative_inside(config, tmp_path / "run")
    assert kept == {"data": "folder:pets", "data_dir": f"{tmp_path}/runs"}
    assert paths.from_inside(kept, tmp_path / "run") == config
    os.rename(tmp_path / "run", tmp_path / "moved")
    found = paths.from_inside(kept, tmp_path / "moved")
    assert found == {**config, "data": f"folder:{tmp_path}/moved/pets"}


def test_a_path_that_is_not_inside_stays_as_it_was_typed(tmp_path):
    """As in runs from before paths were made absolute."""
    assert paths.from_inside({"from_run": "runs/one"}, tmp_path) == {"from_run": "runs/one"}
