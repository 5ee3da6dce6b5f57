"""ONNX files: what they say, what is in them, and the memory that it takes to write them."""

import keras
import numpy as np
import pytest

from tfcnns.export import to_onnx
from tfcnns.export.endpoints import for_servers
from tfcnns.export.peak_memory import peak_memory
from tfcnns.layers import MaxoutConv, MeanImage, TowerDense
from tfcnns.models import alexnet

onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def answer(file, images):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def written(model, file):
    """The growth of the process while the file was written, in bytes."""
    with peak_memory() as peak:
        to_onnx.write(file, model)
    if not peak:
        pytest.skip("this system doesn't tell the peak of a process")
    return peak[0]


def test_peak_memory_is_what_was_held():
    with peak_memory() as peak:
        held = np.ones(1 << 22)  # 32 MiB
        del held
    if not peak:
        pytest.skip("this system doesn't tell the peak of a process")
    # Linux counts pages in batches; and whatever Python takes meanwhile.
    assert (31 << 20) <= peak[0] < (40 << 20)


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 0.5, "towers": 1, "drop": ("conv3", "conv4"), "lrn": False},
        pytest.param({}, marks=pytest.mark.slow, id="full size"),
    ],
)
def test_alexnet_takes_at_most_three_times_its_weights(arguments, tmp_path):
    with for_servers():
        model = alexnet(**arguments)
    weights = sum(variable.numpy().nbytes for variable in model.variables)
    peak = written(model, tmp_path / "it.onnx")
    # 1.6 of 244 MB; constants in the converter's graph make it 90.
    assert peak <= 3 * weights
    x = np.random.default_rng(0).random((2, 227, 227, 3)).astype("float32")
    expected = model.predict_on_batch(x)
    np.testing.assert_allclose(answer(tmp_path / "it.onnx", x), expected, rtol=1e-4)
    assert answer(tmp_path / "it.onnx", x[:0]).shape == (0, 1000)


@pytest.fixture(scope="module")
def model():
    """Kernels that ONNX has in another order, and weights that aren't trained."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 8, 3))
    mean = MeanImage()
    mean.adapt(np.random.default_rng(1).random((4, 9, 8, 3)))
    x = MaxoutConv(4, 3, pieces=2)(mean(inputs))
    x = keras.layers.BatchNormalization()(x)
    outputs = TowerDense(6, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("largest", [to_onnx.LARGEST, 100], ids=["one file", "two files"])
def test_weights_are_initializers(model, largest, tmp_path, monkeypatch):
    monkeypatch.setattr(to_onnx, "LARGEST", largest)
    to_onnx.write(tmp_path / "it.onnx", model)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == ({"it.onnx"} if largest > 100 else {"it.onnx", "it.onnx.data"})
    graph = onnx.load(tmp_path / "it.onnx").graph
    onnx.checker.check_model(tmp_path / "it.onnx")
    assert [x.name for x in graph.input] == ["images"]
    kernels = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    assert set(kernels) <= {tensor.name for tensor in graph.initializer}
    count = sum(np.prod(tensor.dims, dtype=int) for tensor in graph.initializer)
    assert model.count_params() <= count < model.count_params() + 200  # shapes and axes
    x = np.random.default_rng(0).random((3, 9, 8, 3)).astype("float32")
    np.testing.assert_allclose(
        answer(tmp_path / "it.onnx", x), model.predict_on_batch(x), rtol=1e-5
    )
