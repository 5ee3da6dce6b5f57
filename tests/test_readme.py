"""The README's example runs as it stands, and its commands and files exist."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

SEEDED = "import keras\nkeras.utils.set_random_seed(0)\n"


def test_the_example_runs_and_learns():
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line]) == 10
    code += "x, y = digits.images[..., None] / 16, digits.target\n"
    code += "print('accuracy', model.evaluate(x, y, verbose=0)[1])\n"
    done = subprocess.run(
        [sys.executable, "-c", SEEDED + code], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.6  # six times chance; .9 is usual


def test_commands_and_links_exist():
    for script in re.findall(r"python -m tfcnns\.(\w+)", README):
        module = ROOT / "tfcnns" / script
        assert (module / "__main__.py").exists() or module.with_suffix(".py").exists()
    for link in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / link).exists()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize(
    "script", ["train", "evaluate", "predict", "plot", "features", "detect", "export"]
)
def test_flags_in_the_readme_are_real(script):
    import importlib

    module = f"tfcnns.{script}.__main__" if script == "export" else f"tfcnns.{script}"
    flags = importlib.import_module(module).FLAGS
    for line in re.findall(rf"python -m tfcnns\.{script} (.*)", README):
        for name in re.findall(r"--(\w+)", line):
            assert name in flags


def test_the_table_names_every_recipe_and_model():
    from tfcnns import models, recipes

    rows = [line.split("|") for line in README.splitlines() if line.count("|") == 7]
    assert set(recipes.names()) <= set(re.findall(r"`(\w+)`", "".join(row[4] for row in rows)))
    for row in rows:
        for builder in re.findall(r"`(\w+)", row[3].replace("tfcnns.models", "")):
            assert hasattr(models, builder), builder
