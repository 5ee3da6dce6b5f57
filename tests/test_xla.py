"""The switch of XLA segments: the same numbers with it on, and nothing of it with it off."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import LRN, MaxoutConv, MaxoutDense, TowerLRN, xla_segments
from tfcnns.layers.xla import segment, segments_are_on
from tfcnns.models import alexnet, maxout_mnist_pi
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.placement import build_optimizer
from tfcnns.training.placement_report import FREE, placement

TWO = ("/CPU:0", "/CPU:1")
LAYERS = {
    "LRN": (LRN, {"alpha": 0.1}, (5, 4, 7)),
    "LRN few channels": (LRN, {"alpha": 0.1, "depth_radius": 5}, (2, 2, 3)),
    "LRN many channels": (LRN, {"alpha": 0.1, "beta": 0.6}, (300,)),
    "LRN channels first": (LRN, {"alpha": 0.1, "data_format": "channels_first"}, (7, 5, 4)),
    "TowerLRN": (TowerLRN, {"alpha": 0.1, "devices": TWO}, (5, 4, 6)),
    "MaxoutConv": (MaxoutConv, {"filters": 4, "kernel_size": 3, "pieces": 2}, (8, 7, 3)),
    "MaxoutConv zero": (
        MaxoutConv,
        {"filters": 4, "kernel_size": 3, "pieces": 3, "min_zero": True, "use_bias": False},
        (8, 7, 3),
    ),
    "MaxoutDense": (MaxoutDense, {"units": 4, "pieces": 3}, (6,)),
}


def compiled_functions(function, *specs):
    """How many functions of the graph XLA must compile."""
    graph = tf.function(function).get_concrete_function(*specs).graph.as_graph_def()
    return sum("_XlaMustCompile" in f.attr for f in graph.library.function)


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def case(request):
    kind, arguments, shape = request.param
    keras.utils.set_random_seed(0)
    layer = kind(**arguments)
    layer.build((None, *shape))
    return layer, shape


def outputs_and_gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y * tf.sin(y))
    return [y, *tape.gradient(loss, [x, *layer.trainable_variables])]


@pytest.mark.parametrize("batch", [3, 1, 0])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_segments_compute_the_same(case, batch, graph):
    layer, shape = case
    x = tf.constant(np.random.default_rng(1).normal(size=(batch, *shape)), "float32")
    expected = outputs_and_gradients(layer, x)
    step = lambda x: outputs_and_gradients(layer, x)  # noqa: E731
    if graph:
        step = tf.function(step, input_signature=[tf.TensorSpec((None, *shape))])
    with xla_segments(True):
        found = step(x)
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_segments_in_other_types(case, dtype):
    layer, shape = case
    other = type(layer).from_config({**layer.get_config(), "dtype": dtype})
    other.build((None, *shape))
    other.set_weights(layer.get_weights())
    x = np.random.default_rng(1).normal(size=(3, *shape))
    expected = outputs_and_gradients(other, tf.constant(x, other.compute_dtype))
    with xla_segments(True):
        found = outputs_and_gradients(other, tf.constant(x, other.compute_dtype))
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-12}[other.compute_dtype]
    for mine, there in zip(found, expected, strict=True):
        assert mine.dtype == there.dtype
        mine, there = (tf.cast(t, "float64").numpy() for t in (mine, there))
        scale = np.abs(there).max()
        np.testing.assert_allclose(mine, there, rtol=tolerance, atol=tolerance * scale)


def test_the_switch_decides_what_is_traced(case):
    layer, shape = case
    spec = tf.TensorSpec((None, *shape))
    assert not segments_are_on()
    assert compiled_functions(lambda x: layer(x), spec) == 0
    with xla_segments(True):
        assert segments_are_on()
        assert compiled_functions(lambda x: layer(x), spec) > 0
        with xla_segments(False):  # as an export traces it
            assert compiled_functions(lambda x: layer(x), spec) == 0
        assert segments_are_on()
    assert not segments_are_on()
    xla_segments(True)
    assert segments_are_on()
    xla_segments(False)
    assert not segments_are_on()


def test_an_exported_net_needs_no_xla(tmp_path):
    with xla_segments(True):
        model = maxout_mnist_pi(width=0.05)
        model.compile(PaperSGD(0.01), "sparse_categorical_crossentropy")
        model.fit(np.ones((2, *model.input_shape[1:])), np.zeros(2), verbose=0)
        with xla_segments(False):
            model.export(tmp_path / "it", verbose=False)
    text = (tmp_path / "it" / "saved_model.pb").read_bytes()
    assert b"_XlaMustCompile" not in text


def test_each_shape_is_compiled_once():
    traces = []

    @segment
    def double(x, bias):
        traces.append(x.shape)
        return 2 * x + bias

    with xla_segments(True):
        for batch in (4, 4, 3, 4, 3, 2, 4):
            y = double(tf.ones((batch, 5)), bias=1.0)
            np.testing.assert_array_equal(y, np.full((batch, 5), 3))
    # The second size of a batch makes the trace one for all; XLA compiles each of them once.
    assert [tuple(shape) for shape in traces] == [(4, 5), (None, 5)]
    with xla_segments(True):
        double(tf.ones((4, 7)), bias=1.0)  # another width is another trace, of a known width
    assert tuple(traces[-1]) == (4, 7)


def losses(build, on, optimizer=None, steps=50, strategy=None):
    rng = np.random.default_rng(0)
    with xla_segments(on):
        keras.utils.set_random_seed(0)
        scope = strategy.scope() if strategy else xla_segments(on)
        with scope:
            model = build()
            model.compile(
                optimizer() if optimizer else PaperSGD(0.01, weight_decay=5e-4),
                "sparse_categorical_crossentropy",
                jit_compile=False,
            )
            build_optimizer(model)
        x = rng.normal(size=(4 * steps, *model.input_shape[1:])).astype("float32")
        y = np.arange(4 * steps) % model.output_shape[-1]
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
        kept = []
        keep = keras.callbacks.LambdaCallback(
            on_batch_end=lambda _, logs: kept.append(logs["loss"])
        )
        model.fit(data, callbacks=[keep], shuffle=False, verbose=0)
    return np.array(kept)


def small_alexnet(**kwargs):
    return alexnet(
        (35, 35, 3),
        classes=5,
        width=1 / 16,
        initializers="he_normal",
        lrn={"alpha": 0.1},
        dropout=0.1,
        **kwargs,
    )


NETS = {
    "alexnet": small_alexnet,
    "alexnet on two devices": lambda: small_alexnet(devices=TWO),
    "maxout": lambda: maxout_mnist_pi(width=0.05),
}


@pytest.mark.parametrize("name", NETS)
def test_fifty_steps_have_the_same_losses(name):
    off, on = (losses(NETS[name], on) for on in (False, True))
    assert off[-1] != off[0]
    # Means over the epoch so far; sums in another order, and what 50 steps make of that.
    np.testing.assert_allclose(on, off, rtol=1e-4)


def test_segments_work_under_a_strategy():
    strategy = tf.distribute.MirroredStrategy(TWO, tf.distribute.ReductionToOneDevice())
    off, on = (losses(NETS["alexnet"], on, steps=6, strategy=strategy) for on in (False, True))
    np.testing.assert_allclose(on, off, rtol=1e-4)


def test_segments_stay_on_their_device():
    with xla_segments(True):
        keras.utils.set_random_seed(0)
        model = small_alexnet(devices=TWO)
        model.compile(PaperSGD(0.01), "sparse_categorical_crossentropy")
        build_optimizer(model)
        places = placement(model, (np.ones((2, 35, 35, 3)), np.ones(2)))
    compiled = {(p.layer, p.device): p.compiled for p in places if p.compiled}
    for layer in ("norm1", "norm2", "conv1", "fc6"):
        assert compiled[layer, TWO[0]] == compiled[layer, TWO[1]] > 0
        assert (layer, FREE) not in compiled


def test_the_update_is_a_segment():
    weights = [keras.Variable(np.full((3, 2), 0.5)), keras.Variable(np.ones(4))]
    results = []
    for on in (False, True):
        with xla_segments(on):
            optimizer = PaperSGD(0.1, momentum=0.9, weight_decay=0.01)
            fresh = [keras.Variable(w) for w in weights]
            for _ in range(3):
                optimizer.apply([tf.ones(w.shape) for w in fresh], fresh)
            results.append([w.numpy() for w in (*fresh, *optimizer.velocities)])
    for mine, other in zip(*results, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)
