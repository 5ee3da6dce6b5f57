"""Versions of an export: whole or not there, and rid of what killed processes have left."""

import os
import subprocess
import sys

import pytest

from tfcnns.errors import UserError
from tfcnns.export import publish


def test_leftovers_of_killed_exports_are_swept_and_others_stay(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f"tmp-{ended.pid}-3" / "variables").mkdir(parents=True)
    kept = {f"tmp-{ended.pid}-notes.txt", f"tmp-{os.getpid()}-3"}  # none of ours; still at work
    for name in kept:
        (tmp_path / name).touch()
    number = publish.next_version(tmp_path)
    with publish.version_directory(tmp_path, number) as folder:
        (folder / "model").write_text("all")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "1"}
    assert (tmp_path / "1" / "model").read_text() == "all"


def test_a_place_that_takes_nothing_is_refused_before_work(tmp_path):
    (tmp_path / "file").touch()
    for out, said in (("file", "is a file"), ("file/out", "is a file"), ("x" * 256, "too long")):
        with pytest.raises(UserError, match=said):
            publish.next_version(tmp_path / out)
