"""Localisation and detection as the papers' recipes have them: every stage, on digit scenes."""

import json

import numpy as np
import pytest
import references_detection as references
from PIL import Image
from scripts import call

from tfcnns import detect, evaluate, runs, train
from tfcnns.detection.coco_format import read_detections
from tfcnns.pipelines.digit_scenes import load_digit_scenes

DETECTORS = ("overfeat_detect_imagenet", "overfeat_detect_voc", "overfeat_detect_coco")
SCENES = 10  # that are evaluated on
SMALL = [
    "--epochs=3", "--batch_size=4", "--verbosity=0", "--set=data=digit_scenes",
    "--set=limit=8", f"--set=test_limit={SCENES}", "--set=width=0.02", "--set=scales=(245,281)",
    "--set=initializer=he_normal",
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


def truths():
    _, boxes, labels = load_digit_scenes("test", SCENES)
    return [
        {"boxes": box, "classes": kinds, "difficult": np.zeros(len(kinds), bool)}
        for box, kinds in zip(boxes, labels, strict=True)
    ]


def falls(run):
    """Whether what a run was trained on has become less, and is a number."""
    losses = [epoch["loss"] for epoch in run.history()]
    return np.isfinite(losses).all() and losses[-1] < losses[0]


@pytest.mark.slow
def test_localisation_is_evaluated(regressor):
    run = runs.open_run(regressor)
    assert falls(run)
    assert call(evaluate, f"--run={regressor}") == 0
    result = json.loads((regressor / "evaluation.json").read_text())
    found = read_detections(regressor / "detections.json", range(SCENES))
    for one in found:  # guesses: all classes, each with one box
        assert len(one["classes"]) == len(set(one["classes"])) >= 5
    assert result["images"] == SCENES
    assert result["error"] == pytest.approx(references.localization_error(truths(), found))
    assert result["top1_error"] == pytest.approx(references.localization_error(truths(), found, 1))
    wrong = [
        not set(one["classes"][np.argsort(-one["scores"], kind="stable")][:5])
        & set(truth["classes"])
        for one, truth in zip(found, truths(), strict=True)
    ]
    assert result["class_error"] == pytest.approx(np.mean(wrong))
    assert result["class_error"] < 1  # five of ten classes, one of which is there


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_goes_on_from_the_regressor(name, regressor, tmp_path):
    out = tmp_path / "run"
    flags = [*SMALL, f"--out={out}", "--set=stage=detector", f"--set=from_run={regressor}"]
    # Many boxes, or there is nothing to compare.
    assert call(train, f"--recipe={name}", *flags, "--set=window_score=0.0") == 0
    run = runs.open_run(out)
    assert falls(run)
    assert run.config["classes"] == 10  # the scenes', not the paper's
    assert run.config["class_names"] == tuple("0123456789")
    assert run.load_model().output["classifier"].shape[-1] == 11
    assert 0 < run.history()[0]["classifier_negatives"] <= 3
    assert call(evaluate, f"--run={out}") == 0
    result = json.loads((out / "evaluation.json").read_text())
    found = read_detections(out / "detections.json", range(SCENES), run.config.get("category_ids"))
    assert sum(len(one["boxes"]) for one in found) > SCENES
    rows = {row["class"]: row["AP_area"] for row in result["per_class"]}
    expected = {c: references.pascal(truths(), found, c)[1] for c in range(10)}
    assert rows == {c: pytest.approx(area) for c, area in expected.items()}
    file = tmp_path / "scene.png"
    Image.fromarray(load_digit_scenes("test", 1)[0][0][..., 0]).save(file)
    assert call(detect, f"--run={out}", f"--out={tmp_path / 'found'}", file) == 0
    again = read_detections(
        tmp_path / "found" / "detections.json", [0], run.config.get("category_ids")
    )[0]
    for key, value in again.items():  # the file's pixels are the scene's
        np.testing.assert_allclose(value, found[0][key], rtol=1e-4, atol=1e-2)
