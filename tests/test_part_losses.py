"""Losses of parts of a batch, on replicas and in passes, come to the whole batch's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfcnns.detection.box_loss import BoxLoss
from tfcnns.detection.negatives import MinedCrossentropy
from tfcnns.training.accumulation import accumulate
from tfcnns.training.strategies import make_strategy

SPLITS = [("one", 3), ("mirrored", 1), ("mirrored", 2)]
WEIGHTS = "mean_with_sample_weight"


class Times(layers.Layer):
    """A single number, 1 at the start, that everything is multiplied by."""

    def build(self, _):
        self.number = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return x * self.number


def stepped(split, x, y, loss, sample_weight=None):
    """The number after one step of SGD(1), and the logged loss."""
    strategy, passes = split
    with make_strategy(strategy).scope():
        model = keras.Sequential([keras.Input(x.shape[1:]), Times()])
        model.compile(keras.optimizers.SGD(1.0), loss)
    accumulate(model, passes)
    data = (x, y) if sample_weight is None else (x, y, sample_weight)
    history = model.fit(
        tf.data.Dataset.from_tensor_slices(data).batch(len(x)), shuffle=False, verbose=0
    )
    return float(model.get_weights()[0]), history.history["loss"][0]


@pytest.mark.parametrize("split", [("one", 1), *SPLITS])
def test_windows_count_alike_wherever_they_are(split):
    boxes = np.ones((4, 1, 1, 4), "float32")
    boxes[0] = 3
    targets = np.zeros((4, 1, 1, 5), "float32")
    targets[1, ..., 4] = -1
    # Squares of 36, 4 and 4 over three windows; their halves' means are 36 and 4.
    number, loss = stepped(split, boxes, targets, BoxLoss())
    assert loss == pytest.approx(44 / 3, rel=1e-6)
    assert number == pytest.approx(1 - 2 * 44 / 3, rel=1e-6)


@pytest.mark.parametrize("split", [("one", 1), ("one", 3), ("mirrored", 2)])
@pytest.mark.parametrize(("reduction", "over"), [("sum", 1), (WEIGHTS, 1.7)])
def test_reductions(split, reduction, over):
    x = np.float32([[3], [1], [2], [1]])
    weights = np.float32([0.5, 0.2, 0, 1])
    total = 0.5 * 9 + 0.2 + 1
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    number, logged = stepped(split, x, 0 * x, loss, weights)
    assert logged == pytest.approx(total / over, rel=1e-6)
    assert number == pytest.approx(1 - 2 * total / over, rel=1e-6)


def trained(split):
    """Weights and logs after two epochs of batches of 4 and 3 of a net with many losses."""
    strategy, passes = split
    random = np.random.RandomState(0)
    often = np.linspace(0.05, 0.95, 7)[:, None, None]  # so that images differ in their windows
    objects = random.uniform(size=(7, 3, 3)) < often
    labels = np.where(objects, random.randint(0, 2, (7, 3, 3)), random.randint(-1, 1, 1) * 3 + 2)
    windows = np.concatenate(
        [random.uniform(size=(7, 3, 3, 4)), np.where(objects, 0, -1)[..., None]], -1
    )
    classes = random.randint(0, 3, 7)
    losses = {
        "boxes": (BoxLoss(reduction=WEIGHTS), windows),
        "mined": (MinedCrossentropy(2, 2, "random", seed=3), labels),
        "ignoring": (
            keras.losses.SparseCategoricalCrossentropy(ignore_class=0, reduction=WEIGHTS),
            classes[:, None],
        ),
        "void": (keras.losses.SparseCategoricalCrossentropy(ignore_class=2), np.abs(labels)),
    }
    x = random.normal(size=(7, 3, 3, 2)).astype("float32")
    y = {name: target.astype("float32") for name, (_, target) in losses.items()}
    weights = {name: random.uniform(size=7).astype("float32") for name in losses}
    weights["void"] = random.uniform(size=(7, 3, 3)).astype("float32")
    keras.utils.set_random_seed(1)
    with make_strategy(strategy).scope():
        image = keras.Input((3, 3, 2))
        maps = layers.Dense(4, activation="tanh")(image)
        vector = layers.GlobalAveragePooling2D()(maps)
        outputs = {
            "boxes": layers.Dense(4, name="boxes")(maps),
            "mined": layers.Dense(3, activation="softmax", name="mined")(maps),
            "ignoring": layers.Dense(3, activation="softmax", name="ignoring")(vector),
            "void": layers.Dense(3, activation="softmax", name="void")(maps),
        }
        model = keras.Model(image, outputs)
        model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0),
            {name: loss for name, (loss, _) in losses.items()},
            loss_weights={name: 0.5 + 0.1 * i for i, name in enumerate(losses)},
        )
    accumulate(model, passes)
    dataset = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(4)
    fit = model.fit(dataset, epochs=2, shuffle=False, validation_data=dataset, verbose=0)
    return np.concatenate([w.ravel() for w in model.get_weights()]), fit.history


@pytest.fixture(scope="module")
def whole():
    return trained(("one", 1))


@pytest.mark.parametrize("split", SPLITS)
def test_a_net_with_all_kinds_of_losses_ends_with_equal_weights_and_logs(split, whole):
    weights, history = trained(split)
    # Sums in another order: a few float32 roundings, 6e-8 of values of order one, in four steps.
    np.testing.assert_allclose(weights, whole[0], rtol=0, atol=2e-6)
    assert history.keys() == whole[1].keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, whole[1][name], rtol=5e-6, err_msg=name)


def masked(split):
    """As `trained`, of a net whose masks leave out more of some samples than of others."""
    strategy, passes = split
    x = np.int32([[1, 2, 3], [1, 0, 0], [2, 1, 0], [3, 0, 0], [1, 1, 2]])
    y = np.random.RandomState(0).uniform(size=(5, 3, 1)).astype("float32")
    keras.utils.set_random_seed(1)
    with make_strategy(strategy).scope():
        model = keras.Sequential(
            [keras.Input((3,)), layers.Embedding(4, 2, mask_zero=True), layers.Dense(1)]
        )
        model.compile(keras.optimizers.SGD(0.1), "mse")
    accumulate(model, passes)
    fit = model.fit(
        tf.data.Dataset.from_tensor_slices((x, y)).batch(5), epochs=2, shuffle=False, verbose=0
    )
    return np.concatenate([*(w.ravel() for w in model.get_weights()), fit.history["loss"]])


def test_masks_on_replicas():
    np.testing.assert_allclose(masked(("mirrored", 1)), masked(("one", 1)), rtol=0, atol=1e-6)


def test_masks_are_refused_in_passes():
    with pytest.raises(ValueError, match=r"without a mask.*Received: a mask for mse"):
        masked(("one", 2))


def test_no_reduction_is_refused():
    x = np.ones((4, 1), "float32")
    with pytest.raises(ValueError, match=r"Received: .* with reduction='none'"):
        stepped(("mirrored", 1), x, x, keras.losses.MeanSquaredError(reduction="none"))


def test_passes_are_refused_under_other_strategies():
    strategy = tf.distribute.MirroredStrategy(
        ["/CPU:0", "/CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    x = np.ones((4, 1), "float32")
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), Times()])
        model.compile("sgd", "mse")
    accumulate(model, 2)
    with pytest.raises(ValueError, match=r"make_strategy.*Received: MirroredStrategy"):
        model.fit(tf.data.Dataset.from_tensor_slices((x, x)).batch(4), shuffle=False, verbose=0)
