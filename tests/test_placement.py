"""A net on two devices: the same numbers as on one, every part of it on its own device."""

import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scripts import call as call_script

from tfcnns import train
from tfcnns.layers import LRN, EachTower, MissingDevice, TowerConv, TowerLRN, device_pins
from tfcnns.models import alexnet
from tfcnns.plots.placement import plot_placement
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.placement import build_optimizer
from tfcnns.training.placement_report import FREE, placement, table

TWO = ("/CPU:0", "/CPU:1")
SMALL = {"input_shape": (67, 67, 3), "classes": 5, "width": 1 / 16, "initializers": "he_normal"}
VARIANTS = {
    "paper": {"lrn": {"alpha": 0.1}},
    "code2012": {
        "lrn": {"alpha": 0.1},
        "lrn_across_towers": False,
        "same_map_norm": True,
        "order": "code2012",
        "overlapping_pool": False,
        "scale_at_test": True,
    },
    "caffenet without conv3": {"order": "caffenet", "drop": ("conv3",)},
}


def net(devices=TWO, optimizer=None, **kwargs):
    keras.utils.set_random_seed(0)
    model = alexnet(**{**SMALL, "devices": devices, **kwargs})
    model.compile(optimizer or PaperSGD(0.01), "sparse_categorical_crossentropy")
    build_optimizer(model)
    return model


def images(batch=4):
    return np.random.default_rng(1).normal(size=(batch, 67, 67, 3)).astype("float32")


def device(variable):
    return variable.value.device.rsplit("device:", 1)[-1]


def gradients(model, x, y):
    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x))
        return tape.gradient(loss, model.trainable_variables)

    return step(x, y)


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_the_net_on_one_device(name):
    one, two = (net(devices, **VARIANTS[name]) for devices in (None, TWO))
    x, y = images(40), np.arange(40) % 5
    assert [w.path for w in one.weights] == [w.path for w in two.weights]
    # float32 sums in another order, at most: 1e-6 of values of order one.
    np.testing.assert_allclose(two(x[:4]), one(x[:4]), rtol=0, atol=1e-6)
    pairs = zip(gradients(two, x[:4], y[:4]), gradients(one, x[:4], y[:4]), strict=True)
    for mine, other in pairs:
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    losses = [m.fit(x, y, batch_size=4, shuffle=False, verbose=0).history for m in (one, two)]
    np.testing.assert_allclose(losses[1]["loss"], losses[0]["loss"], rtol=1e-6)
    for mine, other in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)  # after ten steps, dropout in


@pytest.mark.parametrize(
    "make",
    [
        lambda: PaperSGD(0.01),
        lambda: keras.optimizers.SGD(0.01, momentum=0.9),
        lambda: keras.optimizers.Adam(),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01, momentum=0.9)),
    ],
    ids=["PaperSGD", "SGD", "Adam", "LossScale"],
)
def test_weights_slots_and_updates_lie_with_their_tower(make):
    model = net(optimizer=make())
    model.fit(images(), np.arange(4), verbose=0)
    for weight in model.weights:
        assert device(weight) == ("CPU:1" if "tower1" in weight.path else "CPU:0"), weight.path
    slots = [v for v in model.optimizer.variables if "tower" in v.path]
    assert len(slots) >= 28
    for slot in slots:
        assert device(slot) == ("CPU:1" if "tower1" in slot.path else "CPU:0"), slot.path
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        return  # its updates are in a branch of the graph, which `placement` doesn't look into
    places = placement(model, (images(), np.arange(4)))
    # Each of a layer's towers is updated where it lies, by as many operations.
    for layer in ("conv1", "fc7"):
        updates = {p.device: p.update for p in places if p.layer == layer and p.update}
        assert updates["/CPU:0"] == updates["/CPU:1"] > 0


def test_left_to_fit_slots_lie_elsewhere():
    """What `build_optimizer` is for; when this fails, it can go."""
    model = net(optimizer=PaperSGD(0.01))
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy")
    model.fit(images(), np.arange(4), verbose=0)
    assert {device(v) for v in model.optimizer.variables} == {"CPU:0"}


@pytest.mark.parametrize("towers", [1, 2, 3, 6])
@pytest.mark.parametrize("radius", [0, 2, 5])
def test_lrn_across_seams_is_lrn(towers, radius):
    devices = [TWO[tower % 2] for tower in range(towers)]
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 4, 12)), "float32")
    layers = [
        LRN(radius, alpha=0.5),
        TowerLRN(radius, alpha=0.5, towers=towers, devices=devices),
        TowerLRN(radius, alpha=0.5, towers=towers, devices=devices, data_format="channels_first"),
    ]
    results = []
    for layer in layers:
        first = layer.data_format == "channels_first"
        with tf.GradientTape() as tape:
            tape.watch(x)
            moved = tf.transpose(x, (0, 3, 1, 2)) if first else x
            y = (
                layer(tf.split(moved, towers, 1 if first else -1))
                if layer is not layers[0]
                else layer(x)
            )
            y = tf.transpose(y, (0, 2, 3, 1)) if first else y
            loss = tf.reduce_sum(y * tf.sin(y))
        results.append((y, tape.gradient(loss, x)))
    for y, gradient in results[1:]:
        np.testing.assert_allclose(y, results[0][0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient, results[0][1], rtol=1e-5, atol=1e-6)


def test_only_neighbouring_maps_cross():
    places = placement(net(), (images(), np.arange(4)))
    received = {(p.layer, p.device): p.received for p in places if p.received}
    across = {(layer, device): maps for layer, maps in (
        ("norm1", 15 * 15 * 2), ("norm2", 7 * 7 * 2), ("conv3", 3 * 3 * 8)
    ) for device in TWO}  # fmt: skip
    assert received == across
    within = placement(net(lrn_across_towers=False), (images(), np.arange(4)))
    assert {p.layer for p in within if p.received} == {"conv3"}


def test_everything_between_conv1_and_pool5_is_pinned_backwards_too():
    places = placement(net(), (images(), np.arange(4)))
    towers = [f"{kind}{n}" for n in range(1, 6) for kind in ("conv", "norm", "pool")]
    mine = {(p.layer, p.device): p for p in places if p.layer in towers}
    for (layer, where), place in mine.items():
        if where != FREE:
            other = mine[layer, TWO[1 - TWO.index(where)]]
            assert (place.forward, place.backward) == (other.forward, other.backward)
            assert place.forward > 1
            assert place.backward > 1
        else:  # the towers' maps side by side, for the dense layers
            assert layer == "pool5"


def test_table_and_picture_of_the_places():
    places = placement(net(), (images(), np.arange(4)))
    lines = table(places).splitlines()
    assert lines[0].split() == [
        "layer", "device", "weights", "slots", "forward", "backward", "update", "XLA", "received"
    ]  # fmt: skip
    assert lines[1].split()[:4] == ["conv1", "/CPU:0", "1,092", "1,092"]
    assert lines[2].split()[:3] == ["/CPU:1", "1,092", "1,092"]
    assert lines[-1].endswith("not pinned on /CPU:0.")
    figure = plot_placement(places, FREE)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"conv1", "fc8", *TWO, FREE} <= set(texts)
    assert figure.get_label() == (
        "Placement of 17 layers: 41,977 weights on /CPU:0, 40,692 weights on /CPU:1. "
        "Devices exchange maps in: norm1, norm2, conv3."
    )


def test_without_pins_a_graph_names_no_device():
    model = net()
    with device_pins(False):
        traced = tf.function(lambda x: model(x)).get_concrete_function(
            tf.TensorSpec((1, 67, 67, 3))
        )
    assert {op.device for op in traced.graph.get_operations()} == {""}
    np.testing.assert_allclose(traced(tf.constant(images(1))), model(images(1)), atol=1e-6)


def test_frozen_towers_stay_as_they_are():
    model = net()
    model.get_layer("conv2").trainable = False
    model.compile(PaperSGD(0.01), "sparse_categorical_crossentropy")
    build_optimizer(model)
    before = model.get_layer("conv2").get_weights()
    model.fit(images(), np.arange(4), verbose=0)
    for old, new in zip(before, model.get_layer("conv2").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.08)]
)
def test_mixed_precision(policy, tolerance):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        # At the rate of 0.01 ten steps amplify the rounding to 16 bits to quite other weights.
        one, two = (net(devices, PaperSGD(1e-4)) for devices in (None, TWO))
    finally:
        keras.config.set_dtype_policy(before)
    x, y = images(), np.arange(4)
    np.testing.assert_allclose(two(x), one(x), atol=1e-3)
    for mine, other in zip(gradients(two, x, y), gradients(one, x, y), strict=True):
        assert mine.dtype == "float32"
        np.testing.assert_allclose(mine, other, atol=0.01 * np.abs(other).max())
    start = one.get_weights()
    for model in (one, two):
        scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")
        model.fit(images(40), np.arange(40) % 5, batch_size=4, shuffle=False, verbose=0)
    for mine, other, first in zip(two.get_weights(), one.get_weights(), start, strict=True):
        # Of the way that ten steps went, measured: .3 %, and with three bits less 4 %.
        assert np.linalg.norm(mine - other) <= tolerance * np.linalg.norm(other - first)


def test_devices_that_do_not_exist_are_refused():
    message = r"has /CPU:0, /CPU:1\. Received: devices=\('/GPU:0', '/CPU:1'\), without /GPU:0"
    with pytest.raises(MissingDevice, match=message):
        net(("/GPU:0", "/CPU:1"))
    with pytest.raises(MissingDevice, match="without cpu:2"):
        TowerConv(4, 3, devices=("cpu:1", "cpu:2")).build((None, 8, 8, 4))
    full = "/job:localhost/replica:0/task:0/device:CPU:1"
    TowerConv(4, 3, devices=("cpu", full)).build((None, 8, 8, 4))


def test_devices_and_strategies_exclude_each_other():
    strategy = tf.distribute.MirroredStrategy(TWO, tf.distribute.ReductionToOneDevice())
    with (
        strategy.scope(),
        pytest.raises(ValueError, match=r"strategy.*Received: devices=") as refused,
    ):
        net()
    assert not isinstance(refused.value, MissingDevice)
    with strategy.scope(), device_pins(False):  # what the message says
        replicated = net()
    replicated.fit(images(), np.arange(4), verbose=0)
    layer = TowerConv(4, 3, devices=TWO)
    layer.build((None, 8, 8, 4))
    with strategy.scope(), pytest.raises(ValueError, match="use one of the two"):
        layer(np.zeros((1, 8, 8, 4), "float32"))


def test_layers_with_weights_are_not_for_each_tower():
    with pytest.raises(ValueError, match=r"no weights\. Received: layer=dense with 2"):
        EachTower(keras.layers.Dense(3, name="dense"))(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"for each tower.*Received: input_shape=.*towers=2"):
        TowerLRN()([np.zeros((1, 4))] * 3)


RECIPE = """
import keras, tensorflow as tf
from tfcnns.models import alexnet
from tfcnns.training.paper_sgd import PaperSGD
def config():
    return {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "devices": ("/CPU:0", "/CPU:1")}
def data(config, split, worker, workers):
    x = tf.random.stateless_normal([8, 67, 67, 3], (1, 2))
    return tf.data.Dataset.from_tensor_slices((x, tf.range(8) % 5)).batch(config["batch_size"])
def model(config):
    return alexnet((67, 67, 3), 5, width=1 / 16, devices=config["devices"])
def compile(model, config):
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
"""

ONE_DEVICE = """
import sys
from tfcnns import cli, runs
cli.start_tensorflow(0)
import keras, numpy, tfcnns.layers
run = runs.open_run(sys.argv[1])
x = numpy.ones((2, 67, 67, 3), "float32")
for weights in ("final", "last"):
    print(weights, file=sys.stderr)
    model = run.load_model(weights, compiled=True)
    model.fit(x, numpy.zeros(2), verbose=0)
    print(*model.get_layer("conv1").get_config()["devices"])
"""


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "towers.py"
    file.write_text(RECIPE)
    return file


script = functools.partial(call_script, train)


def test_a_saved_net_opens_on_one_device(tmp_path, monkeypatch, caplog):
    model = net()
    model.save(tmp_path / "it.keras")
    monkeypatch.setattr("tfcnns.layers.devices._existing", lambda: ["/CPU:0"])
    again = keras.saving.load_model(tmp_path / "it.keras")
    (line,) = caplog.messages
    assert line.startswith("saved for the devices /CPU:0, /CPU:1; this process has /CPU:0: ")
    assert {device(w) for w in again.weights} == {"CPU:0"}
    assert again.get_layer("conv1").get_config()["devices"] == TWO
    np.testing.assert_allclose(again(images()), model(images()), rtol=1e-6)


@pytest.mark.slow
def test_a_run_from_two_devices_opens_on_one_and_goes_on_with_two(tmp_path, recipe, capsys):
    out = tmp_path / "run"
    assert script(f"--recipe={recipe}", f"--out={out}", "--show_placement") == 0
    assert "conv1       /CPU:0" in capsys.readouterr().out
    assert {"placement.png", "placement.svg", "model.keras"} <= {p.name for p in out.iterdir()}
    child = subprocess.run(  # which has one CPU
        [sys.executable, "-c", ONE_DEVICE, str(out)], capture_output=True, text=True, timeout=300
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == [*TWO] * 2
    said = child.stderr.splitlines()
    assert [line if len(line) < 9 else "line" for line in said] == ["final", "line", "last", "line"]
    for line in (said[1], said[3]):
        assert "one device" in line
        assert "/CPU:1" in line
    command = [sys.executable, "-m", "tfcnns.train", f"--out={out}", "--resume", "--epochs=2"]
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr == ""  # the script makes the second CPU again


def test_the_script_shows_places_and_refuses_devices(tmp_path, recipe, capsys):
    assert script(f"--recipe={recipe}", "--show_placement") == 0
    assert "received" in capsys.readouterr().out
    flags = [f"--recipe={recipe}", "--set=devices=('/CPU:0', '/GPU:7')", f"--out={tmp_path}/no"]
    assert script(*flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: `devices` must exist; this process has /CPU:0, /CPU:1.")
    assert not os.path.exists(tmp_path / "no")
