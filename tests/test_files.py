"""Files that are whole or not there, leftovers of the dead, and what may not be written."""

import os
import resource
import subprocess
import sys
import tempfile

import pytest

from tfcnns import files
from tfcnns.errors import UserError


@pytest.fixture
def small_disk():
    """No file may grow beyond 4 kB, which fails as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path, small_disk):
    file = tmp_path / "a.json"
    files.write_whole(file, b"old")
    with pytest.raises(OSError, match="File too large") as raised:
        files.write_whole(file, bytes(10_000))
    assert raised.value.filename == str(file)
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_names_as_long_as_the_system_allows(tmp_path):
    name = "é" * 120 + "." + "x" * 14  # 255 bytes
    files.write_whole(tmp_path / name, b"all")
    assert (tmp_path / name).read_bytes() == b"all"


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_the_dead_have_left_is_swept_and_nothing_else(tmp_path, dead):
    swept = [tmp_path / f"tmp-{dead}-model.keras", tmp_path / f"tmp-{dead}"]
    swept[0].write_text("half")
    (swept[1] / "tensors").mkdir(parents=True)
    kept = {f"tmp-{os.getpid()}-model.keras", f"tmp-{os.getppid()}", "tmp-x", f"tmp-{dead}x", "tmp"}
    for name in kept:
        (tmp_path / name).touch()
    assert set(files.left_behind(tmp_path)) == set(swept)
    assert files.left_behind(tmp_path, of=["model.keras"]) == swept[:1]
    files.sweep(tmp_path, of=["other.keras"])
    assert all(path.exists() for path in swept)
    files.sweep(tmp_path)
    assert set(os.listdir(tmp_path)) == kept
    files.sweep(tmp_path / "no such folder")


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "photo.png").touch()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    files.remove(tmp_path / "link")
    assert os.listdir(tmp_path) == ["there"]
    assert os.listdir(tmp_path / "there") == ["photo.png"]


def test_what_cannot_be_written_is_said_before_work(tmp_path):
    files.check_can_write(tmp_path)
    files.check_can_write(tmp_path / "new" / "run")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file, expected a directory"):
        files.check_can_write(tmp_path / "file" / "run")
    with pytest.raises(UserError, match="a name has at most 255 bytes"):
        files.check_can_write(tmp_path / "new" / ("é" * 128))
    with pytest.raises(UserError, match="File name too long"):
        files.check_can_write("x" * 5000)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_takes_no_files():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # an administrator may write everywhere
        try:
            with pytest.raises(UserError, match=r"/run can't be written to: .*: Permission denied"):
                files.check_can_write(f"{folder}/run")
        finally:
            os.seteuid(user)


def test_no_input_is_written_over_by_any_name(tmp_path):
    photo = tmp_path / "photo.png"
    photo.touch()
    (tmp_path / "link").symlink_to(tmp_path)
    os.link(photo, tmp_path / "other.png")
    for name in ("photo.png", "link/photo.png", "other.png"):
        with pytest.raises(UserError, match=r"would replace .*photo\.png, which is read"):
            files.check_no_input([tmp_path / name], [photo])
    files.check_no_input([tmp_path / "new.png"], [photo, tmp_path / "missing.png"])
