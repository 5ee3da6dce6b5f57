"""Each example runs as a user starts it, and ends with what it promises.

Bounds are far below what one seed gives on this code (in brackets), far above chance.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def run(name, *arguments):
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def percent(text, what):
    return float(re.search(rf"^{what}: ([\d.]+) %$", text, re.MULTILINE)[1])


def test_own_model():
    assert percent(run("own_model"), "test accuracy") > 90  # (96.7)


@pytest.mark.slow
def test_keras_tools(tmp_path):
    text = run("keras_tools", tmp_path)
    before, after = re.search(r"^a layer of one's own: loss (\S+) -> (\S+)$", text, re.M).groups()
    assert float(after) < float(before) / 2  # (2.00 -> 0.28)
    assert "read by a fresh process: the same scores" in text
    assert "a clone: the same scores" in text
    assert (tmp_path / "model.png").exists() or "no picture" in text


@pytest.mark.slow
def test_finetune_folder():
    text = run("finetune_folder")
    fixed = percent(text, "test accuracy, new classes on a fixed trunk")
    tuned = percent(text, "test accuracy, trunk fine-tuned")
    assert fixed > 50  # (80) of five classes
    assert tuned > 85  # (98)
    assert tuned > fixed


@pytest.mark.slow
def test_finetune_a_folder_of_ones_own(tmp_path):
    import keras
    import numpy as np

    random = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 210)):  # photographs of any size, in colour
        (tmp_path / name).mkdir()
        for i in range(12):
            image = random.integers(level - 30, level + 30, (20 + i, 30, 3))
            keras.utils.save_img(tmp_path / name / f"{i}.jpg", image, scale=False)
    text = run("finetune_folder", tmp_path)
    assert "Found 24 files belonging to 2 classes" in text
    assert percent(text, "test accuracy, trunk fine-tuned") > 80


@pytest.mark.slow
def test_alexnet_two_devices():
    text = run("alexnet_two_devices")
    for layer in ("conv1", "conv5", "fc7"):
        assert re.search(rf"^{layer}: [CG]PU:0, [CG]PU:1$", text, re.MULTILINE)
    assert percent(text, "test accuracy") > 60  # (89.7)
    difference = re.search(r"^largest difference to one device: (\S+)$", text, re.MULTILINE)
    assert float(difference[1]) < 1e-5  # (0) sums may be taken in another order


@pytest.mark.slow
def test_overfeat_own_boxes():
    text = run("overfeat_own_boxes")
    assert percent(text, r"mean average precision at IoU \.5") > 60  # (92.5)
    assert re.search(r"^first image: a [017] at \[", text, re.MULTILINE)
