"""From a run to a SavedModel that others load: what is in it, what it says, what is refused."""

import functools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from installs import ROOT
from scripts import call as call_script
from small_recipes import settings, untrained_run
from tensorflow.core.protobuf import saved_model_pb2

from tfcnns import answers, runs
from tfcnns.detection import detect
from tfcnns.export import __main__ as export
from tfcnns.export import card, check, endpoints, exporting, samples, to_savedmodel
from tfcnns.layers import xla_segments
from tfcnns.pipelines import images
from tfcnns.pipelines.digit_scenes import load_digit_scenes
from tfcnns.pipelines.digits import load_digits

call = functools.partial(call_script, export)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "run"
    run = untrained_run(path, "nin_digits", size=8)
    result = {"examples": 400, "error": 0.0125, "errors": 5, "split": "test"}
    (path / "evaluation.json").write_text(json.dumps(result))
    return run


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The directory of versions after one export, which was checked in another process."""
    out = tmp_path_factory.mktemp("exports") / "digits"
    assert call(f"--run={run.path}", f"--out={out}") == 0
    return out


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    config = settings(
        "overfeat_digits", stage="detector", width=0.1, window_score=0.15, scales=(36, 52)
    )
    path = tmp_path_factory.mktemp("detector") / "run"
    return untrained_run(path, "overfeat_digits", **config)


def test_what_lies_in_a_version(run, exported):
    assert [entry.name for entry in exported.iterdir()] == ["1"]
    version = exported / "1"
    facts = json.loads((version / "export.json").read_text())
    (result,) = facts["results"]
    assert result["bytes"] > 100_000
    assert set(result["endpoints"]) == {"serving_default", "serve_image_bytes"}
    for found in result["endpoints"].values():
        assert found["difference"] <= check.TOLERANCE
        assert found["latency_ms"] > 0
    described = json.loads((version / "assets.extra" / "description.json").read_text())
    assert described["class_names"] == list("0123456789")
    assert described["run"]["commit"] == run.settings["commit"]
    assert {"tfcnns", "tensorflow", "keras"} <= set(described["versions"])
    assert "jpeg.cover" in described["preprocessing"]["before the model"]
    assert (version / "assets.extra" / "labels.txt").read_text() == "\n".join("0123456789") + "\n"
    card = (version / "assets.extra" / "MODEL_CARD.md").read_text()
    for text in ("nin_digits", "Network in Network", "error 1.25 % of 400 images", "limits"):
        assert text in card


def test_the_card_has_the_result_of_these_weights_alone(run, tmp_path):
    run = runs.Run(shutil.copytree(run.path, tmp_path / "run"))
    model = run.load_model()

    def result_of(exported, **changes):
        result = {"examples": 400, "error": 0.0125, "split": "test", "epochs": 0, "set": ["seed=3"]}
        (run.path / "evaluation.json").write_text(json.dumps({**result, **changes}))
        described = card.describe(run, model, [], 1, exported)
        return re.search(r"test result \| (.*) \|", card.card(run, model, described))[1]

    whole = "error 1.25 % of 400 images, test split, seed=3"
    assert result_of("final") == whole
    assert result_of("best", weights="best") == whole
    assert "of the final weights not measured" in result_of("final", weights="best")
    assert result_of("final", epochs=4) == "not measured since epoch 4 of 0"


def test_endpoints_have_names_types_and_batches(exported):
    signatures = tf.saved_model.load(exported / "1").signatures
    given = signatures["serving_default"].structured_input_signature[1]
    assert given == {"images": tf.TensorSpec((None, 8, 8, 1), tf.float32, name="images")}
    # A name that ends in _bytes: TensorFlow Serving's REST then takes {"b64": ...}.
    given = signatures["serve_image_bytes"].structured_input_signature[1]
    assert given == {"image_bytes": tf.TensorSpec((None,), tf.string, name="image_bytes")}
    found = signatures["serve_image_bytes"].structured_outputs
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in found.items()} == {
        "scores": ([None, 10], tf.float32),
        "class_ids": ([None], tf.int32),
        "class_names": ([None], tf.string),
    }


def test_bytes_say_what_the_model_says_of_the_arrays(run, exported):
    serve = tf.saved_model.load(exported / "1").signatures["serve_image_bytes"]
    digits, _ = load_digits("test", size=8)
    files = [tf.io.encode_png(image).numpy() for image in digits[:5]]
    scores = run.load_model().predict_on_batch(digits[:5])
    found = serve(image_bytes=tf.constant([*files, *samples.photographs()]))
    # The same graph and pixels; sums over a batch of another size, in another order.
    np.testing.assert_allclose(found["scores"][:5], scores, atol=1e-6)
    np.testing.assert_array_equal(found["class_ids"], np.argmax(found["scores"], axis=1))
    assert serve(image_bytes=tf.constant([], tf.string))["scores"].shape == (0, 10)
    bad = [files[0], files[1][:100]]
    with pytest.raises(tf.errors.InvalidArgumentError, match="PNG"):
        serve(image_bytes=tf.constant(bad))
    with pytest.raises(tf.errors.InvalidArgumentError, match="image 1 of the batch"):
        serve(image_bytes=tf.constant([files[0], b"GIF89a"]))
    again = serve(image_bytes=tf.constant(files))
    np.testing.assert_allclose(again["scores"], scores, atol=1e-6)


def test_tensorflows_own_command_shows_and_runs_it(exported, tmp_path):
    def cli(*arguments):
        command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments]
        command += ["--dir", str(exported / "1"), "--tag_set", "serve"]
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "inputs['image_bytes']" in cli("show", "--signature_def", "serve_image_bytes")
    files = np.empty(1, object)
    files[0] = (exported / "1" / "assets.extra" / "example.png").read_bytes()
    np.save(tmp_path / "files.npy", files)
    said = cli("run", "--signature_def", "serve_image_bytes", "--inputs", "image_bytes=files.npy")
    assert "class_names" in said


def test_the_example_asks_it_without_this_package(exported, tmp_path):
    script = tmp_path / "ask.py"
    script.write_bytes((ROOT / "examples" / "ask_export.py").read_bytes())
    command = [sys.executable, "-I", str(script), str(exported)]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "assets.extra/example.png: " in done.stdout
    assert "score 0." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "examples/ask_export.py exports/demo"),
        (["--help"], "examples/ask_export.py exports/demo"),
        (["nowhere"], "nowhere holds no SavedModel"),
        (["."], "holds no SavedModel"),
        (["EXPORT", "no.png"], "no image file no.png"),
        (["EXPORT", "text.png"], "[image 0 of the batch] [expected a whole JPEG or PNG"),
    ],
)
def test_mistakes_of_who_asks_are_one_line(exported, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no image")
    arguments = [argument.replace("EXPORT", str(exported)) for argument in arguments]
    script = str(ROOT / "examples" / "ask_export.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(script, run_name="__main__")
    assert said in left.value.code


def test_detect_is_this_packages_detect(detector):
    model = detector.load_model()
    with endpoints.for_servers():
        served = endpoints.make_endpoints(detector, detector.load_model(), max_boxes=20)["detect"]
    scenes, _, _ = load_digit_scenes("test", 3)
    files = [tf.io.encode_png(scene).numpy() for scene in scenes]
    files.append(tf.io.encode_jpeg(np.repeat(scenes[0], 3, axis=-1)).numpy())
    found = served(tf.constant(files))
    arguments = answers.detector_of(detector)
    for i, data in enumerate(files):
        boxes, classes, scores = detect(
            model, images.decode(data, channels=1), **arguments, max_boxes=20
        )
        count = int(found["count"][i])
        assert 0 < count == len(scores)
        np.testing.assert_array_equal(found["classes"][i, :count], classes)
        assert (found["classes"][i, count:].numpy() == -1).all()
        # Sums of float32 in another order: pixels of up to 100, scores of up to hundreds.
        np.testing.assert_allclose(found["boxes"][i, :count], boxes, atol=1e-2)
        np.testing.assert_allclose(found["scores"][i, :count], scores, rtol=1e-4)
        assert not found["scores"][i, count:].numpy().any()
        names = found["class_names"][i].numpy()
        assert [name.decode() for name in names[:count]] == [str(c.numpy()) for c in classes]
        assert set(names[count:]) <= {b""}


def graph_of(folder):
    """Whether XLA is asked for in a SavedModel, and the devices that its graphs name."""
    (graph,) = saved_model_pb2.SavedModel.FromString(
        (folder / "saved_model.pb").read_bytes()
    ).meta_graphs
    functions = graph.graph_def.library.function
    # Those two are TensorFlow's own, in every SavedModel; they read and write the variables.
    ours = [f for f in functions if "_traced_save" not in f.signature.name]
    ours = [f for f in ours if "_traced_restore" not in f.signature.name]
    assert len(functions) - len(ours) == 2
    names = {node.device for f in ours for node in f.node_def} - {""}
    return b"_XlaMustCompile" in graph.SerializeToString(), names


def test_no_xla_and_no_devices_in_the_graph(tmp_path, detector):
    """AlexNet's towers on two devices, and everything that XLA compiles, and the merging."""
    config = settings("alexnet_imagenet", devices=("/CPU:0", "/CPU:1"), limit=20, statistics=8)
    twin = untrained_run(tmp_path / "run", "alexnet_imagenet", **config)
    with xla_segments(True):
        for name, run in (("twin", twin), ("boxes", detector)):
            out = exporting.export_run(run, tmp_path / name, verify=False, say=lambda line: None)
            assert graph_of(out) == (False, set())
        # What the graph would be without care:
        model = twin.load_model()
        careless = endpoints.on_tensors(model, model.inputs[0].shape).get_concrete_function()
        to_savedmodel.write(tmp_path / "careless", model, {"serving_default": careless})
    xla, devices = graph_of(tmp_path / "careless")
    assert xla
    assert len(devices) == 2


def test_ten_crops_are_averaged_as_in_the_recipes_test(tmp_path):
    config = settings("alexnet_imagenet", limit=20, statistics=8)
    run = untrained_run(tmp_path / "run", "alexnet_imagenet", **config)
    model = run.load_model()
    served = endpoints.make_endpoints(run, model)["serve_image_bytes"]
    files = samples.photographs()
    seen = answers.views_of_files(answers.view_of(run), files, ["a", "b"])
    assert seen[0].shape == (10, 224, 224, 3)
    expected = np.stack([model.predict_on_batch(crops).mean(0) for crops in seen])
    found = served(tf.constant(files))["scores"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


OWN = """
import keras, tensorflow as tf
from tfcnns.pipelines import jpeg
from tfcnns.recipes import nin_digits as base
config, data, compile = base.config, base.data, base.compile

@keras.saving.register_keras_serializable("own")
class Own(keras.layers.Layer):
    calls = 0
    def call(self, x):
        {layer}
        return x
    def compute_output_shape(self, shape):
        return shape

def model(config):
    net = base.model(config)
    return keras.Model(net.input, Own()(net.output))

{view}
"""
PLAIN_VIEW = "view = base.view"
DRIFTS = "self.calls += 1; x = x + .01 * self.calls"  # every trace makes another graph


def own_run(path, layer="", view=PLAIN_VIEW):
    recipe = path / "own.py"
    recipe.write_text(OWN.format(layer=layer or "pass", view=view))
    return untrained_run(path / "run", recipe, size=8)


def test_a_wrong_export_is_not_published(tmp_path, capsys):
    run = own_run(tmp_path, DRIFTS)
    assert call(f"--run={run.path}", f"--out={tmp_path}/new/out") == 1
    error = capsys.readouterr().err
    assert "serving_default differs from the Keras model by" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_recipe_without_a_view_serves_tensors_alone(tmp_path, capsys):
    run = own_run(tmp_path, view="")
    out = tmp_path / "out"
    assert call(f"--run={run.path}", f"--out={out}", "--noverify", "--version=7") == 0
    assert "no view(config), so there is no serve_image_bytes" in capsys.readouterr().out
    assert set(tf.saved_model.load(out / "7").signatures) == {"serving_default"}
    assert call(f"--run={run.path}", f"--out={out}", "--noverify", "--version=7") == 2
    assert "holds version 7 already" in capsys.readouterr().err
    assert call(f"--run={run.path}", f"--out={out}", "--noverify") == 0
    assert sorted(entry.name for entry in out.iterdir()) == ["7", "8"]


PYTHON_LAYER = "x = tf.ensure_shape(tf.numpy_function(lambda x: x, [x], x.dtype), x.shape)"
PYTHON_VIEW = "def view(config): return lambda i: jpeg.cover(jpeg.decode(i).numpy(), (8, 8), 1)"


@pytest.mark.parametrize(
    ("layer", "view", "said"),
    [
        (PYTHON_LAYER, PLAIN_VIEW, "calls Python when it runs (PyFunc"),
        ("", PYTHON_VIEW, "serve_image_bytes can't become a graph"),
    ],
)
def test_what_needs_python_is_refused(tmp_path, capsys, layer, view, said):
    run = own_run(tmp_path, layer, view)
    assert call(f"--run={run.path}", f"--out={tmp_path}/out") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--run=RUN"], "--out is missing"),
        (["--out=OUT"], "--run is missing"),
        (["--run=RUN", "--out=OUT", "x.png"], "unexpected argument"),
        (["--run=RUN/no", "--out=OUT"], "expected a run directory"),
        (["--run=RUN", "--out=RUN/run.json"], "is a file, expected a directory"),
        (["--run=RUN", "--out=RUN/run.json/x"], "run.json is a file, expected a directory"),
        (["--run=RUN", "--out=OUT", "--format=h5"], "expects some of savedmodel, tflite, onnx"),
        (["--run=RUN", "--out=OUT", "--format="], "Received: nothing"),
        (["--run=RUN", "--out=OUT", "--format=tflite", "--tflite=int4"], "--tflite expects some"),
        (["--run=RUN", "--out=OUT", "--tflite=int8"], "--format has no tflite"),
        (["--run=RUN", "--out=OUT", "--weights=best"], "has no best.weights.h5"),
        (["--run=RUN", "--out=OUT", "--version=0"], "version"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, capsys, flags, said):
    def with_paths(flag):
        return flag.replace("RUN", str(run.path)).replace("OUT", str(tmp_path / "out"))

    assert call(*map(with_paths, flags)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_being_trained_is_left_alone(run, exported, tmp_path, capsys, monkeypatch):
    with run.lock():
        assert call(f"--run={run.path}", f"--out={tmp_path}/out") == 2
    assert "is being trained by another process" in capsys.readouterr().err
    assert not run.training
    monkeypatch.setitem(exporting.PACKAGES, "onnx", ("no_such_package",))
    assert call(f"--run={run.path}", f"--out={tmp_path}/out", "--format=onnx") == 2
    assert "pip install 'tfcnns[export]'" in capsys.readouterr().err
    monkeypatch.setitem(exporting.PACKAGES, "onnx", ())
    assert call(f"--run={run.path}", f"--out={exported}", "--format=onnx") == 2
    assert "add savedmodel to --format" in capsys.readouterr().err


@pytest.mark.slow
def test_the_jax_backend_is_refused(run, tmp_path):
    command = [sys.executable, "-m", "tfcnns.export", f"--run={run.path}", f"--out={tmp_path}/out"]
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    assert done.returncode == 2
    assert done.stderr == "error: export needs Keras' TensorFlow backend. Received: jax\n"
