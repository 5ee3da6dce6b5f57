"""LiteRT and ONNX files of real runs, and the largest SavedModel; minutes, and the export extra."""

import json

import numpy as np
import pytest
from scripts import call
from small_recipes import settings, untrained_run

from tfcnns import train
from tfcnns.export import __main__ as export
from tfcnns.export import check, exporting, samples, to_litert

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("digits") / "run"
    assert call(train, "--recipe=nin_digits", f"--out={out}", "--epochs=12") == 0
    return out


@pytest.fixture
def extra():
    for packages in exporting.PACKAGES.values():
        for package in packages:
            pytest.importorskip(package)


def test_all_formats_are_what_was_trained(run, extra, tmp_path, capsys):
    flags = ["--format=savedmodel,tflite,onnx", "--tflite=float32,float16,int8"]
    assert call(export, f"--run={run}", f"--out={tmp_path}/out", *flags) == 0
    said = capsys.readouterr().out
    assert "tflite and onnx: serving_default alone" in said.splitlines()[0]
    facts = json.loads((tmp_path / "out" / "1" / "export.json").read_text())
    results = {result["file"]: result for result in facts["results"]}
    litert = [f"model-{precision}.tflite" for precision in to_litert.PRECISIONS]
    assert set(results) == {".", *litert, "model.onnx"}
    sizes = [results[name]["bytes"] for name in litert]
    assert sizes[0] > 1.8 * sizes[1] > 2.5 * sizes[2]  # 4, 2 and 1 bytes a weight, and the rest
    for name in litert:
        assert results[name]["accuracy_of"] == 200
        assert results[name]["accuracy_before"] > 0.9
        # Two of 200 images, a borderline case each way.
        assert abs(results[name]["accuracy"] - results[name]["accuracy_before"]) <= 0.01
    for name, result in results.items():
        for endpoint in result["endpoints"].values():
            assert endpoint["difference"] <= (0.5 if "int8" in name else result["tolerance"])


@pytest.mark.parametrize("recipe", ["maxout_mnist", "alexnet_imagenet", "overfeat_fast_imagenet"])
def test_other_nets_in_other_formats(recipe, extra, tmp_path):
    """Maxout, local response normalisation, towers; a net for images of any size."""
    config = settings(recipe, limit=20, statistics=8, batch_size=4)
    run = untrained_run(tmp_path / "run", recipe, **config)
    formats = ("savedmodel", "tflite", "onnx")
    lines = []
    arguments = (run, tmp_path / "out", formats, ("float32", "int8"))
    version = exporting.export_run(*arguments, say=lines.append)
    facts = json.loads((version / "export.json").read_text())
    assert len(facts["results"]) == 4
    assert lines[-1].startswith("model.onnx: its conversion took ")


def test_a_wrong_file_is_not_published(run, extra, tmp_path, monkeypatch, capsys):
    """Of a weight's bytes that change on the disk between writing and checking."""
    write = to_litert.write

    def spoiled(file, *arguments):
        write(file, *arguments)
        data = np.frombuffer(file.read_bytes(), np.uint8).copy()
        middle = len(data) // 2 // 4 * 4
        data[middle : middle + 4000].view(np.float32)[:] = 0.1
        file.write_bytes(data.tobytes())

    monkeypatch.setattr(to_litert, "write", spoiled)
    assert call(export, f"--run={run}", f"--out={tmp_path}/out", "--format=tflite") == 1
    assert "differs from the Keras model by" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_mixed_precision_stays_a_savedmodel(extra, tmp_path, capsys):
    flags = ["--epochs=1", "--precision=mixed_bfloat16"]
    assert call(train, "--recipe=nin_digits", f"--out={tmp_path}/run", *flags) == 0
    arguments = [f"--run={tmp_path}/run", f"--out={tmp_path}/out"]
    assert call(export, *arguments, "--format=onnx") == 2
    assert "onnx need a model that computes in float32" in capsys.readouterr().err
    assert call(export, *arguments) == 0


def test_alexnet_at_full_size(tmp_path):
    run = untrained_run(
        tmp_path / "run", "alexnet_imagenet", **{**settings("alexnet_imagenet"), "width": 1.0}
    )
    version = exporting.export_run(run, tmp_path / "out", say=print)
    (result,) = json.loads((version / "export.json").read_text())["results"]
    assert result["bytes"] > 4 * 60_000_000
    assert result["endpoints"]["serve_image_bytes"]["difference"] <= check.TOLERANCE
    assert len(samples.photographs()) == 2
