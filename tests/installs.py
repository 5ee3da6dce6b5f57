"""What the packaging tests share: copies of the tree, environments, and a look from inside one."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Where each folder of the tree ends up in an installed package.
FOLDERS = {"tfcnns": "tfcnns", "layers": "tfcnns/layers", "pipelines": "tfcnns/pipelines"}
LINKS = ("layers", "pipelines")

# All that belongs to the project; what else lies in a working tree may be anything.
TREE = (
    *("setup.py", "pyproject.toml", "MANIFEST.in", "Makefile", ".gitignore", ".ci"),
    *("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    *("layers", "pipelines", "tfcnns", "tests", "benchmarks", "docs", "examples"),
)

# What a user does first, and where it came from.
TRAIN = """
import numpy as np
import keras
import tfcnns.layers
import tfcnns.pipelines
from tfcnns.layers import LRN, MLPConv

model = keras.Sequential([
    keras.Input((8, 8, 1)),
    MLPConv((8, 4), 3),
    LRN(),
    keras.layers.GlobalAveragePooling2D(),
])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
images = np.random.default_rng(0).random((8, 8, 8, 1), dtype="float32")
history = model.fit(images, np.arange(8) % 4, batch_size=8, verbose=0)
assert np.isfinite(history.history["loss"]).all()
for package in (tfcnns, tfcnns.layers, tfcnns.pipelines):
    print("from", package.__file__)
"""


def copy_tree(to, links="kept"):
    """Copies the project; `links` inside tfcnns/ can be "kept", "gone" or plain "text".

    Text is what git leaves where a file system has no links.
    """
    to.mkdir(parents=True)
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            caches = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*_cache")
            shutil.copytree(source, to / name, symlinks=True, ignore=caches)
        elif source.exists():
            shutil.copy(source, to / name)
    for name in LINKS:
        link = to / "tfcnns" / name
        if links != "kept":
            link.unlink(missing_ok=True)
        if links == "text":
            link.write_text(f"../{name}")
    return to


def packaged_files(root):
    """Names, as in a wheel, of all files below the three folders of a tree."""
    names = set()
    for folder, prefix in FOLDERS.items():
        for path, folders, files in os.walk(root / folder):
            folders[:] = [name for name in folders if name != "__pycache__"]
            inside = Path(path).relative_to(root / folder)
            names |= {(prefix / inside / name).as_posix() for name in files}
    return names - {f"tfcnns/{name}" for name in LINKS}


def run(*command, cwd, **more):
    """Runs a command that ought to succeed, and returns what it printed."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    env |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_wheel(tree, *options):
    """Builds the wheel of a tree beside it and returns its path."""
    out = tree.with_name(f"{tree.name}-wheel")
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *options]
    run(*wheel, "--wheel-dir", out, ".", cwd=tree)
    (built,) = out.iterdir()
    return built


class Environment:
    """A fresh virtual environment; pip works on it from outside."""

    def __init__(self, path):
        self.path = path
        venv.create(path, symlinks=True)
        self.python = path / "bin" / "python"
        (self.site_packages,) = path.glob("lib/python*/site-packages")

    def pip(self, *arguments):
        pip = [sys.executable, "-m", "pip", "--python", self.python]
        return run(*pip, *arguments, cwd=self.path)

    def share(self, folders):
        """Makes packages of other environments importable here, after our own."""
        (self.site_packages / "shared.pth").write_text("\n".join(map(str, folders)) + "\n")

    def origins(self, cwd=None):
        """Trains one step in here and returns the files that tfcnns was imported from."""
        said = run(self.python, "-c", TRAIN, cwd=cwd or self.path)
        return [Path(line[5:]) for line in said.splitlines() if line.startswith("from ")]


def own_packages():
    """The folders that hold the packages of the environment running the tests."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
