"""The way of an export: trace, write, check in another process, publish."""

import importlib.util
import json
import pathlib

import numpy as np

from tfcnns import answers
from tfcnns.errors import UserError

from . import card, check, publish, samples, to_litert, to_onnx, to_savedmodel
from .endpoints import BYTES, IMAGES, TENSORS, for_servers, make_endpoints
from .peak_memory import peak_memory

FORMATS = ("savedmodel", "tflite", "onnx")
PACKAGES = {"tflite": ("ai_edge_litert",), "onnx": ("tf2onnx", "onnx", "onnxruntime")}
CALIBRATION = 100  # training images that int8 is scaled by
LABELLED = 200  # test images that the accuracy of LiteRT files is measured on
INT8_MEAN, INT8_LOSS = 0.02, 0.02  # of int8: mean difference, accuracy lost


def export_run(
    run,
    out,
    formats=("savedmodel",),
    precisions=("float32",),
    version=None,
    weights="final",
    verify=True,
    max_boxes=100,
    say=print,
):
    """Exports a run's model into `out`/VERSION, whole or not at all.

    Args:
        run: the `Run`.
        out: directory of versions, as TensorFlow Serving's model_base_path.
        formats: some of `FORMATS`.
        precisions: of LiteRT files, some of `to_litert.PRECISIONS`.
        version: a number that is free; None for the next one.
        weights: "final", "best" or "last".
        verify: whether another process must find the Keras model's answers in the export.
        max_boxes: how many boxes `detect` has room for.
        say: called with lines for the user.

    Returns: the path of the version.
    Raises: UserError for what can't be exported; check.Refused for what was, wrongly. Nothing is
        published then.
    """
    out = pathlib.Path(out)
    number = publish.next_version(out, version)
    _require_known(formats, precisions)
    _require_possible(run, out, formats)
    with for_servers():
        model = run.load_model(weights)
    _require_float32(model, formats)
    endpoints = make_endpoints(run, model, max_boxes)
    for line in _left_out(formats, endpoints, run):
        say(line)
    given = samples.inputs(run, model, list(endpoints))
    with publish.version_directory(out, number) as folder:
        card.write(folder, run, model, endpoints, max_boxes, weights)
        if BYTES in given:
            samples.write_example(folder / card.FOLDER, given)
        results = []
        if "savedmodel" in formats:
            to_savedmodel.write(folder, model, endpoints)
            result = {"format": "savedmodel", "file": ".", "tolerance": check.TOLERANCE}
            if verify:
                expected = samples.expected(run, model, given, max_boxes)
                result |= _checked("savedmodel", folder, given, expected, check.TOLERANCE)
            results.append(result)
        if "tflite" in formats:
            results += _litert(folder, run, model, precisions, verify)
        if "onnx" in formats:
            results.append(_onnx(folder, model, given[TENSORS], verify))
        for result in results:
            result["bytes"] = _size(folder, result)
        facts = {"version": number, "verified": verify, "results": results}
        (folder / "export.json").write_text(json.dumps(facts, indent=2) + "\n")
    for line in table(results):
        say(line)
    return out / str(number)


def _litert(folder, run, model, precisions, verify):
    shape = samples.fixed_shape(run, model)
    images, labels = samples.labelled(run, model, LABELLED)
    expected = samples.expected(run, model, {TENSORS: {IMAGES: images}}, 0)
    results = []
    for precision in precisions:
        name = f"model-{precision}.tflite"
        some = samples.training_images(run, CALIBRATION) if precision == "int8" else None
        to_litert.write(folder / name, model, shape, precision, some)
        result = {"format": "tflite", "file": name, "shape": shape}
        if verify:
            result |= _checked_litert(folder / name, precision, images, labels, expected)
        results.append(result)
    return results


def _checked_litert(file, precision, images, labels, expected):
    given = {TENSORS: {IMAGES: images}}
    if precision != "int8":
        tolerance = check.LITERT_TOLERANCES[precision]
        return _checked("tflite", file, given, expected, tolerance, labels)
    result = _checked("tflite", file, given, expected, None, labels)
    mean = result["endpoints"][TENSORS]["mean_difference"]
    if not mean <= INT8_MEAN:
        raise check.Refused(
            f"tflite, int8: the mean difference from the Keras model is {mean:.2g}, more than "
            f"{INT8_MEAN}; nothing is published"
        )
    before, after = result.get("accuracy_before", 0), result.get("accuracy", 0)
    if before - after > INT8_LOSS:
        raise check.Refused(
            f"tflite, int8: accuracy falls from {before:.3f} to {after:.3f}, by more than "
            f"{INT8_LOSS}; nothing is published"
        )
    return result | {"tolerance_mean": INT8_MEAN, "tolerance_accuracy": INT8_LOSS}


def _onnx(folder, model, given, verify):
    with peak_memory() as peak:
        to_onnx.write(folder / "model.onnx", model)
    result = {"format": "onnx", "file": "model.onnx", "tolerance": check.ONNX_TOLERANCE}
    if peak:
        weights = sum(variable.numpy().nbytes for variable in model.variables)
        result |= {"peak_memory_bytes": peak[0], "weights_bytes": weights}
    if verify:
        given = {TENSORS: given}
        expected = samples.expected(None, model, given, 0)
        file = folder / "model.onnx"
        result |= _checked("onnx", file, given, expected, check.ONNX_TOLERANCE)
    return result


def _checked(kind, path, given, expected, tolerance, labels=None):
    """What another process found: differences, time to load, time of an image; and accuracies."""
    found, load, latency = check.load_elsewhere(kind, path, given)
    largest, mean = check.differences(expected, found)
    if tolerance is not None:
        check.require_within(largest, tolerance, kind)
    result = {"load_s": load, "tolerance": tolerance}
    result["endpoints"] = {
        name: {
            "latency_ms": latency[name],
            "difference": largest[name],
            "mean_difference": mean[name],
        }
        for name in given
    }
    if labels is not None:
        scores = [side[TENSORS]["scores"] for side in (expected, found)]
        before, after = (_accuracy(values, labels) for values in scores)
        result |= {"accuracy_before": before, "accuracy": after, "accuracy_of": len(labels)}
    return result


def _accuracy(scores, labels):
    scores = scores.reshape(len(scores), -1, scores.shape[-1]).mean(1)
    return float(np.mean(scores.argmax(1) == labels))


def table(results):
    """What was exported, a line for each endpoint of each file."""
    rows = [("file", "MB", "load s", "endpoint", "ms an image", "largest difference", "accuracy")]
    for result in results:
        file = "SavedModel" if result["format"] == "savedmodel" else result["file"]
        size = f"{result['bytes'] / 1e6:.2f}"
        if "endpoints" not in result:
            rows.append((file, size, "", "", "", "not checked", ""))
            continue
        accuracy = ""
        if "accuracy" in result:
            before, after = result["accuracy_before"], result["accuracy"]
            accuracy = f"{before:.3f} -> {after:.3f} of {result['accuracy_of']}"
        for name, one in result["endpoints"].items():
            figures = (f"{one['latency_ms']:.2f}", f"{one['difference']:.1e}")
            rows.append((file, size, f"{result['load_s']:.2f}", name, *figures, accuracy))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    for result in results:
        if "peak_memory_bytes" in result:
            peak, weights = result["peak_memory_bytes"], result["weights_bytes"]
            lines.append(
                f"{result['file']}: its conversion took {peak / 1e6:.0f} MB of memory, "
                f"{peak / weights:.1f} times the weights' {weights / 1e6:.0f} MB"
            )
    return lines


def _require_known(formats, precisions):
    known = {"format": (FORMATS, formats), "tflite": (to_litert.PRECISIONS, precisions)}
    for flag, (choices, chosen) in known.items():
        wrong = [name for name in chosen if name not in choices]
        if wrong or not chosen:
            received = wrong[0] if wrong else "nothing"
            raise UserError(f"--{flag} expects some of {', '.join(choices)}. Received: {received}")


def _require_possible(run, out, formats):
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"export needs Keras' TensorFlow backend. Received: {keras.backend.backend()}"
        )
    if run.training:
        raise UserError(f"{run.path} is being trained by another process: export it afterwards")
    for name in formats:
        missing = [p for p in PACKAGES.get(name, ()) if importlib.util.find_spec(p) is None]
        if missing:
            raise UserError(
                f"--format={name} needs {', '.join(missing)}: pip install 'tfcnns[export]'"
            )
    served = [n for n in publish.versions(out) if (out / str(n) / "saved_model.pb").exists()]
    if served and "savedmodel" not in formats:
        raise UserError(
            f"{out} holds SavedModels, and a server would miss one in the newest version: add "
            "savedmodel to --format, or give another --out"
        )


def _require_float32(model, formats):
    """The other formats' converters know no mixed precision."""
    others = [layer for layer in model.layers if layer.compute_dtype not in (None, "float32")]
    formats = [name for name in formats if name != "savedmodel"]
    if others and formats:
        raise UserError(
            f"{' and '.join(formats)} need a model that computes in float32. "
            f"Received: {others[0].name} in {others[0].compute_dtype}"
        )


def _left_out(formats, endpoints, run):
    """Lines about what will be missing, before work starts."""
    if answers.view_of(run) is None:
        yield f"{run.name} has no view(config), so there is no {BYTES} (docs/export.md)"
    others = " and ".join(name for name in formats if name != "savedmodel")
    if others and len(endpoints) > 1:
        left = " and ".join(name for name in endpoints if name != TENSORS)
        yield f"{others}: {TENSORS} alone, for these formats have no strings and so no {left}"


def _size(folder, result):
    if result["format"] != "savedmodel":
        return sum(file.stat().st_size for file in folder.glob(f"{result['file']}*"))
    files = [folder / "saved_model.pb", *(folder / "variables").iterdir()]
    return sum(file.stat().st_size for file in files)
