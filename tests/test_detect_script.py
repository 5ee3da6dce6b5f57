"""From a small detector run to pictures, detections.json and figures; files that can't be read."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scripts import call
from small_recipes import untrained_run

from tfcnns import detect, evaluate, plot, runs, train
from tfcnns.detection.coco_format import KEYS, read_detections
from tfcnns.pipelines.digit_scenes import load_digit_scenes

SMALL = [
    "--recipe=overfeat_digits", "--epochs=1", "--batch_size=4", "--verbosity=0",
    "--set=limit=8", "--set=test_limit=3", "--set=width=0.1", "--set=window_score=0.05",
    "--set=scales=(36,52)", "--set=least_score=0.1",
]  # fmt: skip


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """The runs of all three stages, each from the one before."""
    folder = tmp_path_factory.mktemp("stages")
    before = None
    for stage in ("classifier", "regressor", "detector"):
        flags = [*SMALL, f"--set=stage={stage}", f"--out={folder / stage}"]
        flags += [f"--set=from_run={folder / before}"] if before else []
        assert call(train, *flags) == 0
        before = stage
    return folder


@pytest.fixture
def pictures(tmp_path):
    images, _, _ = load_digit_scenes("test", 3)
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for path, image in zip(("a.png", "b.jpg", "more/a.png"), images, strict=True):
        Image.fromarray(image[..., 0]).save(folder / path)
    (folder / "notes.txt").write_text("not an image, and not asked for")
    return folder


def test_each_stage_goes_on_from_the_one_before(stages):
    classifier, regressor, detector = (
        runs.open_run(stages / name).load_model()
        for name in ("classifier", "regressor", "detector")
    )
    for layer in ("conv1", "conv4", "fc5", "fc7"):
        for a, b in zip(
            classifier.get_layer(layer).get_weights(),
            regressor.get_layer(layer).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)  # fixed
    history = runs.open_run(stages / "detector").history()
    assert 0 < history[0]["classifier_negatives"] <= 10
    assert detector.output["classifier"].shape[-1] == 11
    moved = (
        detector.get_layer("conv1").get_weights()[0] - regressor.get_layer("conv1").get_weights()[0]
    )
    assert 0 < np.abs(moved).max() < 0.1


def test_what_a_folder_holds(tmp_path, capsys):
    """Images by their endings, in order of names; the rest is counted."""
    inside = tmp_path / "b"
    inside.mkdir()
    for name in ("a.jfif", "b/x.WEBP", "b/y.tif", "b.jpe", "c.avif", "d.avif", "e.txt"):
        (tmp_path / name).touch()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".c.png").touch()
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "a.png").touch()
    files = detect.image_files([str(tmp_path), "z.png"], tmp_path / "found")
    names = [str(file.relative_to(tmp_path)) for file in files[:-1]]
    assert names == ["a.jfif", "b/x.WEBP", "b/y.tif", "b.jpe"]
    assert str(files[-1]) == "z.png"
    said = f"{tmp_path}: left out 2 .avif, 1 .txt, 1 broken link\n"
    assert capsys.readouterr().err == said


def test_a_folder_becomes_pictures_and_results(stages, pictures, tmp_path, capsys):
    out = tmp_path / "found"
    assert call(detect, f"--run={stages / 'detector'}", f"--out={out}", pictures) == 0
    files = [(row["id"], row["picture"]) for row in json.loads((out / "images.json").read_text())]
    assert files == [(0, "a.png"), (1, "b.png"), (2, "a-2.png")]
    for _, name in files:
        assert np.asarray(Image.open(out / name)).std() > 0
    results = json.loads((out / "detections.json").read_text())
    assert all(set(result) == set(KEYS) for result in results)
    detections = read_detections(out / "detections.json", [0, 1, 2])
    assert (
        f"{sum(len(d['boxes']) for d in detections)} boxes in 3 images" in capsys.readouterr().out
    )
    assert call(detect, f"--run={stages / 'detector'}", f"--out={out}", pictures) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_bad_image_is_named_and_the_others_go_on(stages, pictures, tmp_path, capsys):
    bad = [pictures / "bad.png", pictures / "cut.jpg", tmp_path / "missing.png"]
    bad[0].write_text("no pixels here")
    bad[1].write_bytes((pictures / "b.jpg").read_bytes()[:-200])
    out = tmp_path / "found"
    arguments = (f"--run={stages / 'regressor'}", f"--out={out}", "--join=suppress")
    assert call(detect, *arguments, pictures, bad[2]) == 1
    printed, error = capsys.readouterr()
    assert "in 3 images" in printed
    assert "3 of 6 images couldn't be read" in error
    assert error.splitlines()[-3:] == [f"  {path}" for path in bad]
    assert len(json.loads((out / "images.json").read_text())) == 3


def test_nothing_that_is_read_or_is_not_its_own_is_replaced(stages, pictures, tmp_path, capsys):
    run, before = f"--run={stages / 'regressor'}", (pictures / "a.png").read_bytes()
    for flags in ([], ["--overwrite"]):
        assert call(detect, run, f"--out={pictures}", *flags, pictures) == 2
        assert "a.png, which is read" in capsys.readouterr().err
    assert sorted(path.name for path in pictures.iterdir()) == [
        "a.png",
        "b.jpg",
        "more",
        "notes.txt",
    ]
    found = pictures / "found"
    found.mkdir()
    (found / "b.png").write_bytes(before)  # a photograph of that name
    for flags, said in (([], "holds b.png already"), (["--overwrite"], "none of detect's files")):
        assert call(detect, run, f"--out={found}", *flags, pictures / "b.jpg") == 2
        assert said in capsys.readouterr().err
    assert [path.name for path in found.iterdir()] == ["b.png"]
    (found / "b.png").unlink()
    (found / "detections.json").write_text('[{"mine": 1}]')
    assert call(detect, run, f"--out={found}", "--overwrite", pictures / "b.jpg") == 2
    assert "none of detect's files" in capsys.readouterr().err
    (found / "detections.json").unlink()
    for flags in ([], ["--overwrite"], ["--overwrite"]):  # its own drawings aren't read again
        assert call(detect, run, f"--out={found}", *flags, pictures) == 0
        assert len(json.loads((found / "images.json").read_text())) == 3
    assert (pictures / "a.png").read_bytes() == before
    capsys.readouterr()
    assert call(detect, run, f"--out={stages / 'regressor'}", pictures) == 2
    assert "is the directory of a run" in capsys.readouterr().err


def test_files_of_every_kind(stages, tmp_path, capsys):
    """What stores the same pixels gets the same boxes; too few pixels get a result as well."""
    scene = load_digit_scenes("test", 1)[0][0][:, :80, 0]
    grey, folder = Image.fromarray(scene), tmp_path / "kinds"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right makes it upright
    grey.rotate(90, expand=True).save(folder / "0 lying.jpg", exif=exif)
    stored = tf.io.decode_jpeg((folder / "0 lying.jpg").read_bytes()).numpy()[..., 0]
    Image.fromarray(np.rot90(stored, -1)).save(folder / "1 upright.png")
    grey.save(folder / "2 grey.png")
    Image.fromarray(scene.astype("uint16") * 257).save(folder / "3 sixteen bit.png")
    grey.convert("P").save(folder / "4 palette.png")
    grey.convert("RGBA").save(folder / "5 alpha.png")
    grey.save(folder / "6 animated.gif", save_all=True, append_images=[Image.new("L", grey.size)])
    grey.convert("CMYK").save(folder / "7 cmyk.jpg", quality=95)
    grey.resize((20, 9)).save(folder / "8 below the window.png")
    Image.new("L", (1, 1), 200).save(folder / "9 one pixel.png")
    out = tmp_path / "found"
    assert call(detect, f"--run={stages / 'detector'}", f"--out={out}", folder) == 0
    assert "in 10 images" in capsys.readouterr().out
    found = read_detections(out / "detections.json", range(10))
    for one, other in ((0, 1), (2, 3), (2, 4), (2, 5), (2, 6)):
        assert len(found[one]["boxes"])
        np.testing.assert_array_equal(found[one]["boxes"], found[other]["boxes"])
        np.testing.assert_array_equal(found[one]["scores"], found[other]["scores"])
    for one, (width, height) in zip(found, [grey.size] * 8 + [(20, 9), (1, 1)], strict=True):
        assert np.isfinite(one["scores"]).all()
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= [width, height, width, height]).all()


RECIPE = '''
"""Scenes of one window, bright or dark, for nets that answer by brightness."""
import numpy as np
from tfcnns.pipelines.box_source import from_scenes
from tfcnns.recipes import overfeat_digits as base
PAPER = base.PAPER
data, view, model, compile, detector = base.data, base.view, base.model, base.compile, base.detector
MIDDLE, CORNER = (8, 8, 24, 24), (0, 0, 12, 12)
SCENES = {
    "regressor": [(0, MIDDLE, 0), (0, MIDDLE, 4), (0, MIDDLE, 5), (255, MIDDLE, 5),
                  (255, MIDDLE, 4), (0, CORNER, 0)],
    "detector": [(255, MIDDLE, 1), (220, MIDDLE, 0), (0, MIDDLE, 1), (0, None, None)],
}
def config():
    return {**base.config(), "classes": 6, "class_names": tuple("abcdef"), "scales": (32,)}
def boxes(config, split):
    greys, edges, labels = zip(*SCENES[config["stage"]])
    images = [np.full((32, 32, 1), grey, "uint8") for grey in greys]
    edges = [[] if edge is None else [edge] for edge in edges]
    labels = [[] if label is None else [label] for label in labels]
    return from_scenes(images, edges, labels, "abcdef")
'''


def run_by_brightness(folder, stage, scores, bright):
    """A run whose net says `scores` on dark images, and more of class `bright` the brighter.

    Its box is the middle of the window. One map of each layer hands the brightness on.
    """
    file = folder / "by_brightness.py"
    file.write_text(RECIPE)
    run = untrained_run(folder / stage, file, stage=stage, window_score=0.0, width=0.1)
    model = run.load_model()
    for layer in model.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for name in ("conv1", "conv2", "conv3", "conv4", "fc5", "fc6", "fc7"):
        kernel, bias = model.get_layer(name).get_weights()
        middle = kernel.shape[0] // 2
        kernel[middle, middle, 0, bright if name == "fc7" else 0] = 1
        model.get_layer(name).set_weights([kernel, scores if name == "fc7" else bias])
    *rest, bias = model.get_layer("regressor").get_weights()
    model.get_layer("regressor").set_weights([*rest, np.float32([0.25, 0.25, 0.75, 0.75])])
    model.save(run.path / "model.keras")
    return run.path


def test_the_localisation_error_of_a_net_that_is_known(tmp_path, capsys):
    scores = np.float32([0.5, 0.4, 0.3, 0.2, 0.1, 0])
    run = run_by_brightness(tmp_path, "regressor", scores, bright=5)
    assert call(evaluate, f"--run={run}") == 0
    printed = capsys.readouterr().out
    # Dark scenes are guessed 0 to 4, bright ones 5 and then 0 to 3; one has its box elsewhere.
    assert "error at IoU .5: 50.0 % in five guesses, 66.7 % in one" in printed
    assert "of the classes alone: 33.3 %" in printed
    result = json.loads((run / "evaluation.json").read_text())
    expected = {"error": 3 / 6, "class_error": 2 / 6, "top1_error": 4 / 6, "images": 6}
    assert {name: result[name] for name in expected} == pytest.approx(expected)
    assert [(row["class"], row["images"], row["error"]) for row in result["per_class"]] == [
        (0, 2, 0.5), (4, 2, 0.5), (5, 2, 0.5),
    ]  # fmt: skip
    guesses = read_detections(run / "detections.json", range(6))
    assert [one["classes"].tolist()[:5] for one in guesses] == [
        [5, 0, 1, 2, 3] if i in (3, 4) else [0, 1, 2, 3, 4] for i in range(6)
    ]
    for one in guesses:
        np.testing.assert_allclose(one["boxes"], [[8, 8, 24, 24]] * 6, atol=1e-3)


def test_the_average_precision_of_a_net_that_is_known(tmp_path, capsys):
    """A right box with the highest score, a wrong one, two misses, and an empty scene."""
    scores = np.float32([-9, 0, -9, -9, -9, -9, 1])  # dark: background, 73 to 27
    run = run_by_brightness(tmp_path, "detector", scores, bright=1)
    assert call(evaluate, f"--run={run}", "--set=window_score=0.5") == 0
    found = read_detections(run / "detections.json", range(4))
    assert [one["classes"].tolist() for one in found] == [[1], [1], [], []]
    result = json.loads((run / "evaluation.json").read_text())
    rows = {row["class"]: row for row in result["per_class"]}
    assert [rows[1][name] for name in ("truths", "detections")] == [2, 2]
    # Class 1: precision 1 up to a recall of .5, nothing after; class 0: not found.
    assert [rows[1][name] for name in ("AP50", "AP_area")] == pytest.approx([51 / 101, 0.5])
    assert [rows[0][name] for name in ("AP50", "AP_area")] == [0, 0]
    assert rows[2]["AP50"] is None
    assert [result[name] for name in ("AP50", "mAP_area")] == pytest.approx([51 / 202, 0.25])
    printed = capsys.readouterr().out
    assert "mean average precision at IoU .5: 25.2 % (PASCAL's 25.0 %)" in printed
    assert len([line for line in printed.splitlines() if line.startswith("  ")]) == 7
    assert (run / "plots" / "precision_and_recall.png").exists()


def test_the_error_of_the_first_stage(stages, capsys):
    run = runs.open_run(stages / "classifier")
    assert call(evaluate, f"--run={run.path}") == 0
    model, wrong, count = run.load_model(), 0, 0
    for images, labels in run.recipe.data(run.config, "test").as_numpy_iterator():
        best = model.predict(images, verbose=0).argmax(-1)
        wrong, count = wrong + np.sum(best != labels), count + labels.size
    result = json.loads((run.path / "evaluation.json").read_text())
    assert (result["errors"], result["examples"], count) == (wrong, 3, 3)
    assert f"test error {100 * wrong / 3:.2f} %" in capsys.readouterr().out


def test_reports_show_scenes_and_link_each_other(stages):
    assert call(plot, f"--run={stages / 'detector'}") == 0
    page = (stages / "detector" / "report.html").read_text()
    for heading in ("Scenes and boxes", "Window votes 1", "Precision and recall"):
        assert heading in page
    assert call(plot, f"--run={stages / 'regressor'}", f"--link={stages / 'detector'}") == 0
    page = (stages / "regressor" / "report.html").read_text()
    assert '<a href="../detector/report.html">detector</a>' in page
    assert "Localisation error" in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out=x", "y.png"], "--run is missing"),
        (["--run=RUN/detector", "y.png"], "--out is missing"),
        (["--run=RUN/detector", "--out=OUT"], "no image files or folders"),
        (["--run=RUN/classifier", "--out=OUT", "y.png"], "expected the run of a detector"),
        (["--run=RUN/detector", "--out=OUT", "RUN/detector/tensorboard"], "holds no images"),
    ],
)
def test_mistakes_are_one_line(stages, tmp_path, capsys, flags, message):
    flags = [f.replace("RUN", str(stages)).replace("OUT", str(tmp_path / "x")) for f in flags]
    assert call(detect, *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_stage_needs_the_run_before_it(stages, tmp_path, capsys):
    flags = [*SMALL, "--set=stage=detector", f"--out={tmp_path / 'run'}"]
    assert call(train, *flags) == 2
    assert "--set from_run=DIR" in capsys.readouterr().err
    assert call(train, *flags, f"--set=from_run={stages / 'detector'}") == 2
    assert "builds on classifier or regressor" in capsys.readouterr().err
    assert call(train, *SMALL, "--set=stage=all", f"--out={tmp_path / 'run'}") == 2
    assert "stage must be one of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
