"""Localisation and detection as the papers' recipes have them: every stage, on digit scenes."""

import json

import numpy as np
import pytest
from PIL import Image
from scripts import call

from tfcnns import detect, evaluate, runs, train
from tfcnns.pipelines.digit_scenes import load_digit_scenes

DETECTORS = ("overfeat_detect_imagenet", "overfeat_detect_voc", "overfeat_detect_coco")
SMALL = [
    "--epochs=1", "--batch_size=4", "--verbosity=0", "--set=data=digit_scenes",
    "--set=limit=8", "--set=test_limit=2", "--set=width=0.02", "--set=scales=(245,281)",
]  # fmt: skip


@pytest.fixture(scope="module")
def regressor(tmp_path_factory):
    """The run of ImageNet's box regressor, on a classifier trained before it."""
    folder = tmp_path_factory.mktemp("boxes")
    before = []
    for stage in ("classifier", "regressor"):
        flags = [*SMALL, f"--set=stage={stage}", f"--out={folder / stage}", *before]
        assert call(train, "--recipe=overfeat_localize_imagenet", *flags) == 0
        before = [f"--set=from_run={folder / stage}"]
    return folder / "regressor"


@pytest.mark.slow
def test_localisation_is_evaluated(regressor):
    assert call(evaluate, f"--run={regressor}") == 0
    result = json.loads((regressor / "evaluation.json").read_text())
    assert result["images"] == 2
    assert 0 <= result["error"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_goes_on_from_the_regressor(name, regressor, tmp_path):
    out = tmp_path / "run"
    flags = [*SMALL, f"--out={out}", "--set=stage=detector", f"--set=from_run={regressor}"]
    assert call(train, f"--recipe={name}", *flags) == 0
    run = runs.open_run(out)
    assert run.config["classes"] == 10  # the scenes', not the paper's
    assert run.config["class_names"] == tuple("0123456789")
    assert run.load_model().output["classifier"].shape[-1] == 11
    history = run.history()[0]
    assert np.isfinite(history["loss"])
    assert 0 < history["classifier_negatives"] <= 3
    assert call(evaluate, f"--run={out}") == 0
    assert 0 <= json.loads((out / "evaluation.json").read_text())["AP50"] <= 1
    file = tmp_path / "scene.png"
    Image.fromarray(load_digit_scenes("test", 1)[0][0][..., 0]).save(file)
    assert call(detect, f"--run={out}", f"--out={tmp_path / 'found'}", file) == 0
    assert (tmp_path / "found" / "detections.json").exists()
