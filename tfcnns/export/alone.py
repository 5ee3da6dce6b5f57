"""Loads an export as a stranger would, with its format's own library, and without this package.

    python -I alone.py job.json

job.json: {"format", "path", "inputs": {endpoint: {input: an .npy file, or a list of the files
whose bytes are the input}}, "out": a directory}. Writes ENDPOINT.OUTPUT.npy for every output,
and result.json with load_s and, for each endpoint, latency_ms: the median of single images.
"""

import importlib
import json
import pathlib
import statistics
import sys
import time


class Refuse:
    """Nothing that is found here comes from the package whose export is checked."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tfcnns":
            raise ModuleNotFoundError("tfcnns is out of reach here")


def main(job):
    sys.meta_path.insert(0, Refuse())
    try:
        importlib.import_module("tfcnns")
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError("tfcnns can be imported")
    load, seconds = {"savedmodel": savedmodel, "tflite": litert, "onnx": onnx}[job["format"]](
        job["path"]
    )
    out = pathlib.Path(job["out"])
    latency = {}
    for endpoint, inputs in job["inputs"].items():
        call = load(endpoint)
        arrays = {name: read(given) for name, given in inputs.items()}
        for name, values in call(arrays).items():
            save(out / f"{endpoint}.{name}.npy", values)
        latency[endpoint] = measure(call, {name: values[:1] for name, values in arrays.items()})
    (out / "result.json").write_text(json.dumps({"load_s": seconds, "latency_ms": latency}))


def savedmodel(path):
    """Function of an endpoint's name to a function of arrays; and the seconds that loading took."""
    import tensorflow as tf

    started = time.perf_counter()
    loaded = tf.saved_model.load(path)
    seconds = time.perf_counter() - started

    def load(endpoint):
        signature = loaded.signatures[endpoint]

        def call(arrays):
            outputs = signature(**{name: tf.constant(values) for name, values in arrays.items()})
            return {name: values.numpy() for name, values in outputs.items()}

        return call

    return load, seconds


def litert(path):
    from ai_edge_litert.interpreter import Interpreter

    started = time.perf_counter()
    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    seconds = time.perf_counter() - started
    (given,) = interpreter.get_input_details()
    names = sorted(interpreter.get_signature_runner("serving_default").get_output_details())

    def call(arrays):
        # Image by image: every converter keeps a batch of one.
        (values,) = arrays.values()
        runner = interpreter.get_signature_runner("serving_default")
        (name,) = runner.get_input_details()
        rows = [runner(**{name: row[None].astype(given["dtype"])}) for row in values]
        return {name: join([row[name] for row in rows]) for name in names}

    return lambda endpoint: call, seconds


def onnx(path):
    import onnxruntime

    started = time.perf_counter()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    seconds = time.perf_counter() - started
    names = [output.name for output in session.get_outputs()]

    def call(arrays):
        return dict(zip(names, session.run(names, arrays), strict=True))

    return lambda endpoint: call, seconds


def read(given):
    import numpy as np

    if isinstance(given, str):
        return np.load(given)
    return np.array([pathlib.Path(file).read_bytes() for file in given], object)


def save(file, values):
    import numpy as np

    np.save(file, values.astype("S") if values.dtype == object else values)


def join(rows):
    import numpy as np

    return np.concatenate(rows)


def measure(call, arrays, least=5, most=50, seconds=0.5):
    """Median milliseconds of a call, after one that doesn't count."""
    call(arrays)
    times, started = [], time.perf_counter()
    while len(times) < least or (len(times) < most and time.perf_counter() - started < seconds):
        before = time.perf_counter()
        call(arrays)
        times.append(1000 * (time.perf_counter() - before))
    return statistics.median(times)


if __name__ == "__main__":
    main(json.loads(pathlib.Path(sys.argv[1]).read_text()))
