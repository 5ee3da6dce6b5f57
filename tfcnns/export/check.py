"""The check of an export: a process without this package loads it and must agree with Keras."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from .endpoints import BYTES

# Largest difference of an output, over its largest expected value. The same sums in another order
# differ by some 1e-6 in the nets here, weights in float16 by some 5e-3.
TOLERANCE = 1e-4
ONNX_TOLERANCE = 1e-3
LITERT_TOLERANCES = {"float32": 1e-3, "float16": 2e-2}
ALONE = pathlib.Path(__file__).with_name("alone.py")


class Refused(Exception):  # noqa: N818  named for what happens to the export
    """An export isn't what the Keras model is."""


def load_elsewhere(kind, path, inputs):
    """What an export answers in a process that can't import this package.

    Args:
        kind: "savedmodel", "tflite" or "onnx".
        path: of the directory or file.
        inputs: {endpoint: {input: array, or list of bytes}}.

    Returns: {endpoint: {output: array}}; seconds to load it; {endpoint: milliseconds of a single
        image, median}.
    Raises: Refused if it can't be loaded or called there.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        job = {"format": kind, "path": str(pathlib.Path(path).resolve()), "out": str(folder)}
        job["inputs"] = {
            endpoint: {name: _stored(folder, values) for name, values in given.items()}
            for endpoint, given in inputs.items()
        }
        (folder / "job.json").write_text(json.dumps(job))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
        done = subprocess.run(
            [sys.executable, "-I", str(ALONE), str(folder / "job.json")],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise Refused(
                f"{kind} can't be used, says its own library: "
                f"{said[-1] if said else 'nothing, the process died'}"
            )
        result = json.loads((folder / "result.json").read_text())
        found = {
            endpoint: {
                file.name.split(".")[1]: np.load(file) for file in folder.glob(f"{endpoint}.*.npy")
            }
            for endpoint in inputs
        }
    return found, result["load_s"], result["latency_ms"]


def differences(expected, found):
    """Largest and mean difference of each endpoint, two dicts; infinite where kinds differ.

    Whole numbers, such as classes and counts, must be equal. The best class is that of the
    scores served: of two classes with the same score either may be it.
    """
    largest, mean = {}, {}
    for endpoint, outputs in expected.items():
        got = found[endpoint]
        values = [_differences(value, got.get(name)) for name, value in outputs.items()]
        if endpoint == BYTES and (got["class_ids"] != got["scores"].argmax(1)).any():
            values.append(np.array(np.inf))
        largest[endpoint] = max(float(value.max(initial=0)) for value in values)
        mean[endpoint] = max(float(value.mean()) for value in values if value.size)
    return largest, mean


def require_within(largest, tolerance, kind):
    """Raises Refused if a difference is above the tolerance, or is none."""
    for endpoint, difference in largest.items():
        if not difference <= tolerance:
            raise Refused(
                f"{kind}: {endpoint} differs from the Keras model by {difference:.2g}, more than "
                f"{tolerance:.0e}; nothing is published"
            )


def _stored(folder, values):
    if isinstance(values, np.ndarray):
        file = folder / f"input-{len(list(folder.iterdir()))}.npy"
        np.save(file, values)
        return str(file)
    files = []
    for data in values:
        file = folder / f"input-{len(list(folder.iterdir()))}"
        file.write_bytes(data)
        files.append(str(file))
    return files


def _differences(expected, found):
    if found is None or found.shape != expected.shape:
        return np.array(np.inf)
    if expected.dtype.kind in "iu":
        return np.where(expected == found, 0, np.inf)
    return np.abs(found - expected) / (np.max(np.abs(expected), initial=0) or 1)
