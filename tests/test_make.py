"""The Makefile, run with a stand-in for Python that notes what it is asked to do."""

import os
import re
import shutil
import subprocess

import installs
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")

# Notes its arguments. As `python -m venv DIR` it makes a DIR/bin with copies of itself.
STAND_IN = """#!/bin/sh
case "$*" in
  *version_info*) exit "$TOO_OLD" ;;
  *ensurepip*) exit "$NO_VENV" ;;
  -V) echo "Python 3.10.4"; exit ;;
  "-c pass" | "-m pip --version") exit ;;
esac
echo "${0##*/} $*" >> "$NOTES"
case "$*" in
  "-m venv"*) for last; do :; done; mkdir -p "$last/bin"
    cp "$0" "$last/bin/python"; cp "$0" "$last/bin/ruff"; echo > "$last/pyvenv.cfg" ;;
esac
"""

INSTALL = "python -m pip install --disable-pip-version-check --quiet --quiet --editable "


class Checkout:
    """A directory with the Makefile, setup.py and the stand-in."""

    def __init__(self, path):
        self.path = path
        for name in ("Makefile", "setup.py"):
            shutil.copy(installs.ROOT / name, path)
        self.notes = path / "notes"
        (path / "stand-in").write_text(STAND_IN)
        (path / "stand-in").chmod(0o755)

    def make(self, *arguments, python="./stand-in", too_old=0, no_venv=0):
        """Runs make and returns the finished process and what Python was asked to do."""
        self.notes.write_text("")
        hidden = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "VENV", "ARGS")
        env = {name: value for name, value in os.environ.items() if name not in hidden}
        env |= {"NOTES": str(self.notes), "TOO_OLD": str(too_old), "NO_VENV": str(no_venv)}
        command = ["make", *arguments, f"PYTHON={python}"]
        done = subprocess.run(command, cwd=self.path, env=env, capture_output=True, text=True)
        return done, self.notes.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_make_alone_lists_the_targets(checkout):
    done, asked = checkout.make()
    source = (checkout.path / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", source, flags=re.MULTILINE)[1].split()
    assert set(targets) <= {line.split()[0] for line in done.stdout.splitlines()}
    assert asked == []


def test_all_that_it_runs_exists():
    source = (installs.ROOT / "Makefile").read_text()
    modules = sorted(set(re.findall(r"-m (tfcnns\.\w+)", source)))
    paths = [installs.ROOT / module.replace(".", "/") for module in modules]
    files = [path / "__main__.py" if path.is_dir() else path.with_suffix(".py") for path in paths]
    files += [installs.ROOT / name for name in re.findall(r"\(python\) (\S+\.py)", source)]
    assert len(files) == 10
    assert [file for file in files if not file.is_file()] == []


def test_environment_is_built_once_and_refreshed_with_setup_py(checkout):
    _, asked = checkout.make("venv")
    assert asked == ["stand-in -m venv .venv", INSTALL + "."]
    assert checkout.make("venv")[1] == []
    later = (checkout.path / ".venv" / ".base").stat().st_mtime + 10
    os.utime(checkout.path / "setup.py", (later, later))
    assert checkout.make("venv")[1] == [INSTALL + "."]


def test_demo_needs_the_base_alone_and_trains_two_nets(checkout):
    done, asked = checkout.make("demo")
    overfeat = (
        "python -m tfcnns.train --recipe=overfeat_digits --overwrite --set=test_limit=100 "
        "--out=runs/demo-"
    )
    assert asked[1:] == [
        INSTALL + ".",
        "python -m tfcnns.train --recipe=nin_digits --out=runs/demo --overwrite",
        "python -m tfcnns.evaluate --run=runs/demo",
        f"{overfeat}classifier --epochs=8",
        f"{overfeat}regressor --epochs=4 --set=stage=regressor --set=from_run=runs/demo-classifier",
        f"{overfeat}detector --epochs=16 --set=stage=detector --set=from_run=runs/demo-regressor",
        "python -m tfcnns.evaluate --run=runs/demo-detector",
        "python -m tfcnns.plot --run=runs/demo-detector",
        "python -m tfcnns.plot --run=runs/demo --link=runs/demo-detector",
        "python -m tfcnns.export --run=runs/demo --out=runs/demo-export",
        "python -m tfcnns.export --run=runs/demo-detector --out=runs/demo-detector-export",
    ]
    assert "examples/ask_export.py runs/demo-detector-export" in done.stdout.splitlines()[-2]
    assert "runs/demo/report.html" in done.stdout.splitlines()[-1]


def test_test_installs_its_extra_then_lints_then_tests(checkout):
    _, asked = checkout.make("test", "ARGS=-k lrn")
    assert asked[1:] == [
        INSTALL + ".[test]",
        "ruff check .",
        "ruff format --check .",
        "python -m pytest -q -k lrn",
    ]
    # The larger install holds the smaller one.
    assert checkout.make("venv")[1] == []


def test_slow_tests_install_the_rest(checkout):
    checkout.make("venv")
    _, asked = checkout.make("test-slow")
    assert asked[0] == INSTALL + ".[test,peers,export]"
    assert asked[-1] == "python -m pytest -q -m slow or not slow"


def test_environment_without_python_is_made_anew(checkout):
    checkout.make("venv")
    (checkout.path / ".venv" / "bin" / "python").unlink()
    _, asked = checkout.make("venv")
    assert asked == ["stand-in -m venv --clear .venv", INSTALL + "."]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"python": "./nowhere"}, "./nowhere was not found. Install Python 3.11"),
        ({"too_old": 1}, "needs Python 3.11, 3.12 or 3.13; ./stand-in is Python 3.10.4"),
        ({"no_venv": 1}, "./stand-in has no venv or ensurepip. On Debian and Ubuntu: apt install"),
    ],
)
def test_unfit_python_gets_one_clear_line(checkout, wrong, line):
    done, asked = checkout.make("test", **wrong)
    assert done.returncode == 2
    said = [text for text in done.stderr.splitlines() if not text.startswith("make: ***")]
    assert len(said) == 1
    assert line in said[0]
    assert asked == []
    assert not (checkout.path / ".venv").exists()


def test_makefile_and_setup_py_agree_on_the_python_versions():
    makefile = (installs.ROOT / "Makefile").read_text()
    first, last = re.search(
        r"\(3, (\d+)\) <= sys.version_info\[:2\] <= \(3, (\d+)\)", makefile
    ).groups()
    requires = f'python_requires=">=3.{first},<3.{int(last) + 1}"'
    assert requires in (installs.ROOT / "setup.py").read_text()


def test_clean_keeps_runs_and_environment(checkout):
    for folder in ("layers", "pipelines", "tfcnns", "tests", "benchmarks"):
        (checkout.path / folder / "__pycache__").mkdir(parents=True)
    for folder in ("runs/demo", "build/lib", "dist", ".venv"):
        (checkout.path / folder).mkdir(parents=True)
    done, _ = checkout.make("clean")
    assert done.returncode == 0
    assert (checkout.path / "runs" / "demo").is_dir()
    assert (checkout.path / ".venv").is_dir()
    for name in ("build", "dist", "layers/__pycache__"):
        assert not (checkout.path / name).exists()
