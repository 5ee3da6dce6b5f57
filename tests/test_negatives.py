"""The detector's and the regressor's losses against sums by hand; the choice of negatives."""

import keras
import numpy as np
import pytest

from tfcnns.detection.box_loss import BoxIoU, BoxLoss
from tfcnns.detection.negatives import (
    MinedCrossentropy,
    MinedNegatives,
    ObjectAccuracy,
    select_negatives,
)

BACKGROUND = 2
LABELS = np.int32([[[0, 2, 2], [2, -1, 1]], [[2, 2, 2], [2, 2, -1]]])  # (2, 2, 3)


def probabilities(seed=0):
    p = np.random.RandomState(seed).uniform(0.1, 1, (2, 2, 3, 3))
    return (p / p.sum(-1, keepdims=True)).astype("float32")


def by_hand(p, negatives):
    """The sum over objects and the worst `negatives` of each image, over how many they are."""
    total, count = 0.0, 0
    for labels, image in zip(LABELS.reshape(2, 6), p.reshape(2, 6, 3), strict=True):
        own = [-np.log(image[i, n]) for i, n in enumerate(labels) if n in (0, 1)]
        none = sorted(-np.log(image[i, 2]) for i, n in enumerate(labels) if n == BACKGROUND)
        chosen = own + none[::-1][:negatives]
        total, count = total + sum(chosen), count + len(chosen)
    return total / count


@pytest.mark.parametrize("negatives", [0, 1, 2, 4, 100])
def test_the_loss_is_the_mean_over_objects_and_the_worst_negatives(negatives):
    p = probabilities()
    loss = MinedCrossentropy(BACKGROUND, negatives)(LABELS, p)
    assert float(loss) == pytest.approx(by_hand(p, negatives), rel=1e-5)


def test_the_hardest_are_chosen_and_the_first_of_equal_ones():
    losses = np.float32([[[9, 1, 3], [2, 9, 9]], [[1, 1, 1], [1, 1, 9]]])
    chosen = select_negatives(LABELS, losses, BACKGROUND, 2)
    np.testing.assert_array_equal(chosen, [[[0, 0, 1], [1, 0, 0]], [[1, 1, 0], [0, 0, 0]]])


def test_random_ones_are_background_as_many_and_others_each_time():
    losses = np.zeros((2, 2, 3), "float32")
    seed = keras.random.SeedGenerator(0)
    drawn = [
        np.array(select_negatives(LABELS, losses, BACKGROUND, 2, "random", seed)) for _ in range(30)
    ]
    for chosen in drawn:
        assert (LABELS[chosen] == BACKGROUND).all()
        np.testing.assert_array_equal(chosen.sum((1, 2)), [2, 2])
    np.testing.assert_array_equal(np.any(drawn, axis=0), LABELS == BACKGROUND)


def test_nothing_to_train_on_is_zero_and_no_nan():
    labels = np.full((2, 2, 3), -1)
    p = keras.ops.convert_to_tensor(probabilities())
    assert float(MinedCrossentropy(BACKGROUND)(labels, p)) == 0
    targets = np.float32([[[[0, 0, 0, 0, -1]]]])
    assert float(BoxLoss()(targets, np.ones((1, 1, 1, 4), "float32"))) == 0
    metric = BoxIoU()
    metric.update_state(targets, np.ones((1, 1, 1, 4), "float32"))
    assert float(metric.result()) == 0


def test_the_metrics_count_what_the_loss_takes():
    p = probabilities()
    count, right = MinedNegatives(BACKGROUND, 4), ObjectAccuracy(BACKGROUND)
    count.update_state(LABELS, p)
    assert float(count.result()) == 3.5  # three in the first image, four of five in the second
    p[0, 0, 0] = [0.9, 0.05, 0.05]
    p[0, 1, 2] = [0.9, 0.05, 0.05]
    right.update_state(LABELS, p)
    assert float(right.result()) == 0.5


def test_the_box_loss_is_l2_over_the_windows_with_an_object():
    targets = np.float32([[[[0, 0, 1, 1, 3], [0, 0, 0, 0, -1]]], [[[0.5, 0, 1, 1, 0]] * 2]])
    boxes = np.zeros((2, 1, 2, 4), "float32")
    assert float(BoxLoss()(targets, boxes)) == pytest.approx((2 + 2.25 + 2.25) / 3)
    boxes[1] = [0.5, 0, 1, 0.5]
    metric = BoxIoU()
    metric.update_state(targets, boxes)
    assert float(metric.result()) == pytest.approx((0 + 0.5 + 0.5) / 3)


def test_a_regressor_with_a_box_for_each_class_is_asked_for_the_objects():
    targets = np.float32([[[[0, 0, 1, 1, 1]]]])
    boxes = np.zeros((1, 1, 1, 3, 4), "float32")
    boxes[..., 1, :] = [0, 0, 1, 0.5]
    assert float(BoxLoss()(targets, boxes)) == pytest.approx(0.25)


def test_config_round_trip_and_bad_arguments():
    for made in (
        MinedCrossentropy(2, 5, "random", seed=3),
        MinedNegatives(2, 5),
        ObjectAccuracy(2),
        BoxLoss(),
        BoxIoU(),
    ):
        again = type(made).from_config(made.get_config())
        assert again.get_config() == made.get_config()
    with pytest.raises(ValueError, match="Received: choose='worst'"):
        MinedCrossentropy(2, choose="worst")
    with pytest.raises(ValueError, match="Received: negatives=-1"):
        MinedCrossentropy(2, -1)


@pytest.mark.parametrize("choose", ["hardest", "random"])
def test_both_heads_train_with_fit_and_log_the_number(choose):
    image = keras.Input((6, 6, 1))
    classifier = keras.layers.Conv2D(3, 3, activation="softmax", name="classifier")(image)
    boxes = keras.layers.Conv2D(4, 3, name="boxes")(image)
    model = keras.Model(image, {"classifier": classifier, "boxes": boxes})
    model.compile(
        keras.optimizers.Adam(0.05),
        loss={"classifier": MinedCrossentropy(2, 3, choose), "boxes": BoxLoss()},
        metrics={"classifier": [MinedNegatives(2, 3)], "boxes": [BoxIoU()]},
    )
    random = np.random.RandomState(0)
    images = random.uniform(size=(16, 6, 6, 1)).astype("float32")
    labels = random.randint(-1, 3, (16, 4, 4))
    targets = np.concatenate([np.tile([0.2, 0.2, 0.8, 0.8], (16, 4, 4, 1)), labels[..., None]], -1)
    y = {"classifier": labels, "boxes": targets.astype("float32")}
    history = model.fit(images, y, batch_size=8, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    expected = np.minimum((labels == 2).sum((1, 2)), 3).mean()
    assert history["classifier_negatives"][-1] == pytest.approx(expected)
