"""Pieces that train a detector: they are those of their parts, and what doesn't fit is named."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.detection import (
    BoxLoss,
    MinedCrossentropy,
    geometry,
    training_batches,
    training_piece,
)
from tfcnns.detection.targets import box_targets, class_targets, coarse_windows
from tfcnns.errors import UserError
from tfcnns.models import overfeat
from tfcnns.pipelines import scene_views
from tfcnns.pipelines.box_source import from_scenes


def model(classes=3, **arguments):
    arguments = {"head": "both", "width": 0.05, **arguments}
    return overfeat("digits", classes, **arguments)


def scenes(count=6):
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (50, 60 + i % 2, 1)).astype("uint8") for i in range(count)]
    boxes = [[(5, 5, 25, 30), (30, 10, 55, 45)][: i % 3] for i in range(count)]
    labels = [[0, 1][: i % 3] for i in range(count)]
    return images, boxes, labels


def test_a_piece_and_its_targets_are_of_one_view():
    net, seed = model(), tf.constant([1, 2])
    image, boxes, labels = (x[2] for x in scenes())
    boxes, labels = tf.constant(boxes, tf.float32), tf.constant(labels, tf.int64)
    piece, targets = training_piece(net, 68, (36, 60), background=2)(image, boxes, labels, seed)
    sides = (0.4 * 32, 1.05 * 32)
    view, moved = scene_views.mixed_view(
        image, boxes, labels, 68, (36, 60), seed, 0.15, sides=sides, about=0.7
    )
    np.testing.assert_array_equal(piece, view)
    windows = coarse_windows(geometry(net), 68, 68)
    np.testing.assert_array_equal(
        targets["boxes"], box_targets(windows, moved, labels, least=0.5, sides=(0.3, 1.1))
    )
    expected = class_targets(
        windows, moved, labels, 2, least=0.75, sides=(0.4, 1.05), near=(0.25, 1.5)
    )
    np.testing.assert_array_equal(targets["classifier"], expected)
    assert set(np.unique(expected)) & {0, 1}  # or the two say little


def test_defaults_follow_from_the_net():
    net = model()
    piece, targets = training_piece(net, background=2)(
        *(tf.constant(x[2]) for x in scenes()[:1]),
        tf.constant(scenes()[1][2], tf.float32),
        tf.constant(scenes()[2][2], tf.int64),
        tf.constant([0, 0]),
    )
    assert piece.shape == (32 + 4 * 8, 32 + 4 * 8, 1)  # a window and four strides
    assert targets["classifier"].shape == (5, 5)
    assert targets["boxes"].shape == (5, 5, 5)


def test_a_stream_for_fit():
    keras.utils.set_random_seed(0)
    net, source = model(), from_scenes(*scenes(), ("a", "b"))
    stream = training_batches(source, net, 4, epochs=2)
    assert len(stream) == 4  # 6 images: 4 and 2
    (images, targets), *_ = stream
    assert images.shape == (4, 64, 64, 1)
    again = next(iter(training_batches(source, net, 4, epochs=2)))[0]
    np.testing.assert_array_equal(images, again)
    assert set(np.unique(targets["classifier"])) <= {-1, 0, 1, 2}
    net.compile(
        keras.optimizers.Adam(0.01), {"boxes": BoxLoss(), "classifier": MinedCrossentropy(2)}
    )
    history = net.fit(stream, epochs=2, steps_per_epoch=2, shuffle=False, verbose=0).history
    assert history["loss"][1] < 0.9 * history["loss"][0]


def test_crowds_train_nothing():
    """A crowd all over the image: an object in it is learned, and nothing else."""
    images, boxes, labels = scenes()
    whole = [[*some, (0, 0, 60, 50)] for some in boxes]
    crowd = [[*[False] * len(some), True] for some in boxes]
    labels = [[*some, 1] for some in labels]
    source = from_scenes(images, whole, labels, ("a", "b"), crowd=crowd)
    dropped = from_scenes(images, boxes, [some[:-1] for some in labels], ("a", "b"))
    kinds = {}
    for name, one in (("crowd", source), ("dropped", dropped)):
        stream = training_batches(one, model(), 6, size=36, scales=(50, 60), jitter=0.0)
        kinds[name] = np.concatenate([targets["classifier"] for _, targets in stream]).ravel()
    background = kinds["dropped"] == 2
    assert background.any()  # hard negatives, were it left out
    assert (kinds["crowd"][background] == -1).all()
    np.testing.assert_array_equal(kinds["crowd"][~background], kinds["dropped"][~background])


@pytest.mark.parametrize(
    ("net", "said"),
    [({"classes": 2}, "2 classes"), ({"head": "classifier"}, "no two heads")],
)
def test_a_model_that_does_not_fit_is_named(net, said):
    with pytest.raises(UserError, match=rf"2 \+ 1 classes.*Received: overfeat_digits with {said}"):
        training_batches(from_scenes(*scenes(), ("a", "b")), model(**net))
