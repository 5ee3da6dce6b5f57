"""Two replicas train to what one does: weights, metrics, predictions, checkpoints."""

import functools
import itertools
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scripts import call as call_script

from tfcnns import runs, train
from tfcnns.errors import UserError
from tfcnns.layers import MLPConv, PCALighting, RandomWindow, ScaledDropout
from tfcnns.models import alexnet_cifar10, overfeat
from tfcnns.training import checkpoints
from tfcnns.training.crew import split
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.strategies import make_cpus, make_strategy

BATCH = 4


def batches(samples, weights=False):
    rng = np.random.RandomState(0)
    arrays = (rng.rand(samples, 6, 6, 3).astype("float32"), rng.randint(0, 3, samples))
    if weights:
        arrays += (rng.rand(samples).astype("float32"),)
    return tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH)


def trained(strategy, dataset, epochs=4, noise=lambda: [], **compile):
    """What a small NIN with momentum, weight decay and an L2 penalty comes to."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((6, 6, 3)),
                *noise(),
                MLPConv((4, 3), 3),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, "softmax", kernel_regularizer=keras.regularizers.L2(0.1)),
            ]
        )
        arguments = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compile}
        model.compile(PaperSGD(0.5, 0.9, 1e-3), **arguments)
    history = model.fit(dataset, epochs=epochs, validation_data=dataset, shuffle=False, verbose=0)
    return {
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]),
        "history": list(history.history.values()),
        "evaluation": list(model.evaluate(dataset, verbose=0, return_dict=True).values()),
        "predictions": model.predict(dataset, verbose=0),
    }


def difference(a, b):
    return {name: np.abs(np.array(a[name]) - np.array(b[name])).max() for name in a}


# 7: the last batch is split 2 and 1; 9: 1 and 0; 1: a replica never gets a sample.
@pytest.mark.parametrize("samples", [7, 9, 1])
def test_two_replicas_train_to_what_one_does(samples):
    one = trained(make_strategy("one"), batches(samples))
    two = trained(make_strategy("mirrored"), batches(samples))
    assert max(difference(one, two).values()) < 1e-6


def noise():
    """Every layer of this package that draws."""
    lighting = PCALighting(scale=0.5, seed=1)
    lighting.adapt(np.random.RandomState(1).rand(4, 6, 6, 3).astype("float32"))
    return [RandomWindow(2, seed=2), lighting, ScaledDropout(0.3, seed=3)]


@pytest.mark.parametrize("samples", [7, pytest.param(9, marks=pytest.mark.slow)])
def test_with_noise_too(samples):
    one = trained(make_strategy("one"), batches(samples), noise=noise)
    two = trained(make_strategy("mirrored"), batches(samples), noise=noise)
    assert max(difference(one, two).values()) < 1e-6
    calm = trained(make_strategy("one"), batches(samples))
    assert np.abs(one["predictions"] - calm["predictions"]).max() > 1e-3


FOUR = """
import sys
sys.path.insert(0, {tests!r})
import tensorflow as tf
from tfcnns.training.strategies import make_cpus, make_strategy
from test_strategies import batches, difference, noise, trained
names = [f"/CPU:{{i}}" for i in range(4)]
make_cpus(names)
for samples in (7, 10):
    one = trained(make_strategy("one"), batches(samples), noise=noise)
    for devices in (names[:2], names):
        some = trained(make_strategy("mirrored", devices), batches(samples), noise=noise)
        print(samples, len(devices), max(difference(one, some).values()))
"""


@pytest.mark.slow
def test_with_noise_on_one_two_and_four_replicas():
    code = FOUR.format(tests=os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["7", "2"], ["7", "4"], ["10", "2"], ["10", "4"]]
    assert max(float(line[2]) for line in lines) < 1e-6


def masks(make, steps=1):
    """What a layer that draws makes of a batch of ones, for each step and replica."""
    strategy = make_strategy("mirrored")
    with strategy.scope():
        layer = make()
    found = []
    for _ in range(steps):
        results = strategy.run(lambda: layer(np.ones((2, 50), "float32"), training=True))
        found += [result.numpy() for result in strategy.experimental_local_results(results)]
    return found


def test_replicas_drop_by_the_samples_place():
    both = np.concatenate(masks(lambda: ScaledDropout(0.5, seed=4)))
    whole = ScaledDropout(0.5, seed=4)(np.ones((4, 50), "float32"), training=True)
    np.testing.assert_array_equal(both, whole)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Dropout(0.5, seed=4),
        lambda: keras.layers.GaussianNoise(1.0, seed=4),
        lambda: keras.Sequential([keras.layers.AlphaDropout(0.5, seed=4)]),
    ],
    ids=["Dropout", "GaussianNoise", "in a model"],
)
def test_keras_layers_draw_on_each_replica_for_itself(make):
    found = masks(make, steps=2)
    # Of two masks that keep one half, one half differs.
    assert all((a != b).mean() > 0.3 for a, b in itertools.combinations(found, 2))
    np.testing.assert_array_equal(masks(make, steps=2), found)


def test_keras_generators_are_its_own_again_after_a_step():
    stock = keras.random.SeedGenerator.next
    masks(lambda: keras.layers.Dropout(0.5, seed=4))
    assert keras.random.SeedGenerator.next is stock
    alone = make_strategy("one", ["/CPU:1"]).run(
        lambda: keras.layers.Dropout(0.5, seed=4)(np.ones((2, 50), "float32"), training=True)
    )
    expected = keras.layers.Dropout(0.5, seed=4)(np.ones((2, 50), "float32"), training=True)
    np.testing.assert_array_equal(alone, expected)


def test_with_weights_of_samples_too():
    loss = keras.losses.SparseCategoricalCrossentropy()
    arguments = {"loss": loss, "weighted_metrics": ["accuracy"]}
    one = trained(make_strategy("one"), batches(7, weights=True), **arguments)
    two = trained(make_strategy("mirrored"), batches(7, weights=True), **arguments)
    assert max(difference(one, two).values()) < 1e-6


@pytest.mark.slow
def test_stock_strategy_does_not():
    """Why this package has strategies of its own; when this fails, Keras needs no help any more."""
    on_one = tf.distribute.ReductionToOneDevice()
    stock = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"], on_one)
    one = trained(make_strategy("one"), batches(7))
    two = trained(stock, batches(7))
    assert difference(one, two)["weights"] > 1e-3


def test_an_overflow_on_one_replica_leaves_the_step_out_on_both():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with make_strategy("mirrored").scope():
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            model.compile(PaperSGD(0.1), "mse")
    finally:
        keras.config.set_dtype_policy("float32")
    before = model.get_weights()
    scale = float(model.optimizer.initial_scale)
    x = np.array([[1, 1], [1, 1], [1, 1], [3e4, 3e4]], "float32")  # the second replica's are last
    dataset = tf.data.Dataset.from_tensor_slices((x, np.zeros((4, 1), "float32"))).batch(4)
    model.fit(dataset, shuffle=False, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.dynamic_scale.numpy() == scale / 2
    for value in make_strategy("mirrored").experimental_local_results(
        model.trainable_variables[0].value
    ):
        np.testing.assert_array_equal(value, before[0])


def test_one_device_by_name_trains_the_same():
    named = trained(make_strategy("one", ["/CPU:1"]), batches(7), epochs=1)
    assert max(difference(named, trained(make_strategy("one"), batches(7), epochs=1)).values()) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mirored",), "expected a strategy out of one, mirrored, multiworker"),
        (("mirrored", ["/GPU:7"]), "no device '/GPU:7'; this machine has /CPU:0, /CPU:1"),
        (("mirrored", ["/CPU:0", "cpu:0"]), "given twice"),
        (("one", ["/CPU:0", "/CPU:1"]), "one device was expected"),
        (("multiworker", ["/CPU:0"]), "leave devices out"),
        (("multiworker",), "TF_CONFIG, which is not set"),
    ],
)
def test_mistakes(arguments, said, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=said):
        make_strategy(*arguments)


@pytest.mark.parametrize("device", ["/CPU:64", "cpu:100000"])
def test_a_cpu_is_not_made_into_any_number(device):
    with pytest.raises(UserError, match=rf"64 at most.*Received: /CPU:0, {device}"):
        make_cpus(["/CPU:0", device])


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("form", ["tuple", "dict", "tensor"])
def test_split_batches_joined_are_the_batches(parts, form):
    x = tf.range(7)
    whole = {"tuple": (x, 2 * x), "dict": {"x": x}, "tensor": x}[form]
    dataset = tf.data.Dataset.from_tensor_slices(whole).batch(5)
    pieces = list(split(dataset, parts))
    assert len(pieces) == 2 * parts
    for i, batch in enumerate(dataset):
        some = pieces[i * parts : (i + 1) * parts]
        joined = tf.nest.map_structure(lambda *x: tf.concat(x, 0), *some)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, batch)


RECIPE = """
import os
import keras
from tfcnns.recipes import nin_digits
from tfcnns.training.paper_sgd import PaperSGD

PAPER = {}

def config():
    return {**nin_digits.config(), "epochs": 2, "size": 8, "batch_size": 128}

data = nin_digits.data

def model(config):
    from tfcnns.models import nin
    rescale = keras.layers.Rescaling(1 / 255)
    return nin((8, 8, 1), ((8, 8), (8, 10)), (3, 3), dropout=0.5, preprocessing=[rescale])

class Interrupt(keras.callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count == int(os.environ.get("INTERRUPT_AT", 0)):
            os.kill(os.getpid(), 2)

def compile(model, config):
    model.compile(PaperSGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return [Interrupt()]
"""


call = functools.partial(call_script, train)


def arrays(run):
    reader = tf.train.load_checkpoint(str(checkpoints.latest(run.checkpoints) / "tensors"))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
def test_a_stopped_mirrored_run_goes_on_to_the_bit(tmp_path, monkeypatch):
    recipe = tmp_path / "mine.py"
    # Keras' own noise, which replicas draw for themselves, is restored as well.
    recipe.write_text(RECIPE.replace("=[rescale]", "=[rescale, keras.layers.GaussianNoise(0.1)]"))
    mirrored = ("--strategy=mirrored", "--devices=/CPU:0,/CPU:1")
    start = (f"--recipe={recipe}", *mirrored)
    assert call(*start, f"--out={tmp_path}/whole") == 0
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setitem(os.environ, "INTERRUPT_AT", "13")  # of 10 steps an epoch
    assert call(*start, f"--out={tmp_path}/parts", "--resume") == 130  # nothing there: it starts
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.delitem(os.environ, "INTERRUPT_AT")
    assert call(*start, f"--out={tmp_path}/parts", "--resume") == 0  # the same command
    a, b = (runs.open_run(tmp_path / name) for name in ("whole", "parts"))
    assert arrays(a).keys() == arrays(b).keys()
    for name, value in arrays(a).items():
        np.testing.assert_array_equal(value, arrays(b)[name], err_msg=name)
    for row, other in zip(a.history(), b.history(), strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-6)
        assert row["val_accuracy"] == other["val_accuracy"]


@pytest.mark.slow
def test_a_run_changes_from_one_replica_to_two_and_back(tmp_path, monkeypatch):
    recipe = tmp_path / "mine.py"
    # Keras' own noise, which replicas draw for themselves, is restored as well.
    recipe.write_text(RECIPE.replace("=[rescale]", "=[rescale, keras.layers.GaussianNoise(0.1)]"))
    mirrored = ("--strategy=mirrored", "--devices=/CPU:0,/CPU:1")
    assert call(f"--recipe={recipe}", f"--out={tmp_path}/whole") == 0
    start = (f"--recipe={recipe}", f"--out={tmp_path}/parts", "--resume")
    monkeypatch.setitem(os.environ, "INTERRUPT_AT", "3")
    assert call(*start) == 130
    monkeypatch.setitem(os.environ, "INTERRUPT_AT", "13")  # step 16, in the second epoch
    assert call(*start, *mirrored) == 130
    monkeypatch.delitem(os.environ, "INTERRUPT_AT")
    assert call(*start) == 0
    whole, parts = (runs.open_run(tmp_path / name) for name in ("whole", "parts"))
    for a, b in zip(parts.load_model().weights, whole.load_model().weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)  # sums in another order
    for row, other in zip(parts.history(), whole.history(), strict=True):
        for name in set(row) - {"seconds"}:
            assert row[name] == pytest.approx(other[name], abs=1e-6), name


def test_resume_with_a_recipe_refuses_another_run(tmp_path, capsys):
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    start = (f"--recipe={recipe}", f"--out={tmp_path}/run", "--resume", "--epochs=1")
    assert call(*start) == 0
    capsys.readouterr()
    assert call(*start, "--set=dropout=0.25") == 2
    assert "has dropout=0.3, not 0.25" in capsys.readouterr().err
    assert call("--recipe=nin_digits", f"--out={tmp_path}/run", "--resume") == 2
    assert "has recipe='mine', not 'nin_digits'" in capsys.readouterr().err


def alexnet_of_cifar():
    """Convolutions, pools and layers without shared weights."""
    return alexnet_cifar10(classes=3, width=0.05, input_shape=(6, 6, 3))


def overfeat_trunk():
    """Keras' convolutions and pools, whose gradients of no image end the process on CPUs."""
    arguments = {"variant": "digits", "width": 0.05, "include_top": False, "pooling": "avg"}
    trunk = overfeat(**arguments, input_shape=(36, 36, 3))
    return keras.Sequential([trunk, keras.layers.Dense(3, "softmax")])


@pytest.mark.parametrize(
    "build", [pytest.param(alexnet_of_cifar, marks=pytest.mark.slow), overfeat_trunk]
)
def test_whole_nets_take_a_replica_without_images(build):
    """The last batch has one image for two replicas, in training and in validation."""
    found = []
    for strategy in (make_strategy("one"), make_strategy("mirrored")):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = build()
            model.compile(PaperSGD(0.01), "sparse_categorical_crossentropy")
        side = model.input_shape[1]
        rng = np.random.RandomState(0)
        arrays = rng.rand(3, side, side, 3).astype("float32"), rng.randint(0, 3, 3)
        data = tf.data.Dataset.from_tensor_slices(arrays).batch(2)
        history = model.fit(data, validation_data=data, shuffle=False, verbose=0).history
        found.append([*history.values(), np.concatenate([w.ravel() for w in model.get_weights()])])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
