import logging
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.pipelines import boxes as b

SHAPE = (20, 30)


def clean(*boxes, crowd=None):
    return b.clean(boxes, [0] * len(boxes), SHAPE, 1, crowd=crowd)


@pytest.mark.parametrize("box", [(0, 0, 30, 20), (3, 4, 4, 5), (2.5, 1.25, 29.75, 19.5)])
def test_good_boxes_stay(box):
    boxes, rows, counts = clean(box)
    np.testing.assert_array_equal(boxes, [box])
    assert (boxes.dtype, rows.tolist(), counts) == (np.float32, [0], {})


@pytest.mark.parametrize(
    ("box", "expected", "reason"),
    [
        ((-5, 3, 10, 8), (0, 3, 10, 8), b.CLIPPED),
        ((25, 15, 99, 99), (25, 15, 30, 20), b.CLIPPED),
        ((-math.pi, -1, 31, 21), (0, 0, 30, 20), b.CLIPPED),
        ((10, 8, 3, 2), (3, 2, 10, 8), b.SWAPPED),
        ((10, 2, 3, 8), (3, 2, 10, 8), b.SWAPPED),
        ((31, 2, 40, 8), None, b.OUTSIDE),
        ((3, -8, 10, -2), None, b.OUTSIDE),
        ((3, -8, 10, 0), None, b.OUTSIDE),  # touches the edge from outside
        ((3, 4, 3, 8), None, b.SMALL),
        ((3, 4, 3, 4), None, b.SMALL),
        ((3, 4, 3.9, 8), None, b.SMALL),
        ((-5, 4, 0.5, 8), None, b.SMALL),  # what is left of it
        ((math.nan, 4, 10, 8), None, b.NOT_FINITE),
        ((3, 4, math.inf, 8), None, b.NOT_FINITE),
    ],
)
def test_bad_boxes(box, expected, reason):
    good = (1, 2, 3, 4)
    boxes, rows, counts = clean(good, box, good)
    np.testing.assert_allclose(boxes, [good, *([expected] if expected else []), good])
    assert rows.tolist() == ([0, 1, 2] if expected else [0, 2])
    assert counts == {reason: 1}


def test_a_box_can_be_swapped_and_clipped():
    assert clean((35, 5, -3, 2))[2] == {b.SWAPPED: 1, b.CLIPPED: 1}


def test_crowds_are_left_out_and_counted_once():
    boxes, rows, counts = clean((1, 2, 3, 4), (3, 3, 3, 3), (5, 5, 9, 9), crowd=[False, True, True])
    np.testing.assert_array_equal(boxes, [[1, 2, 3, 4]])
    assert (rows.tolist(), counts) == ([0], {b.CROWD: 2})


def test_no_boxes():
    boxes, rows, counts = clean()
    assert (boxes.shape, rows.shape, counts) == ((0, 4), (0,), {})


def test_each_box_may_have_an_image_of_its_own():
    boxes, _, _ = b.clean([[0, 0, 99, 99]] * 2, [0, 0], [[10, 20], [30, 40]], 1)
    np.testing.assert_array_equal(boxes, [[0, 0, 20, 10], [0, 0, 40, 30]])


@pytest.mark.parametrize("label", [-1, 3, 1.5, math.nan])
def test_labels_out_of_range_are_refused_by_name(label):
    with pytest.raises(UserError, match=rf"x\.xml: label {label} of box 1 isn't in 0\.\.2"):
        b.clean([[0, 0, 5, 5]] * 2, [2, label], SHAPE, 3, where="x.xml")


@pytest.mark.parametrize("boxes", [[[0, 0, 5, 5, 1]], [0, 0, 5, 5], [[0, 0, 5, 5]] * 2])
def test_shapes_are_checked(boxes):
    with pytest.raises(ValueError, match=r"boxes \(N, 4\) and labels \(N,\). Received: \("):
        b.clean(boxes, [0], SHAPE, 1)


def plain(box, height, width):
    """What `clean` does, for one box and without a word of NumPy."""
    if not all(map(math.isfinite, box)):
        return None
    x0, x1 = sorted([min(max(box[0], 0), width), min(max(box[2], 0), width)])
    y0, y1 = sorted([min(max(box[1], 0), height), min(max(box[3], 0), height)])
    return (x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None


def test_random_boxes_end_as_a_plain_loop_says_or_are_counted():
    random = np.random.RandomState(0)
    given = random.uniform(-15, 45, (2000, 4))
    given[random.randint(2000, size=50), random.randint(4, size=50)] = np.nan
    given[:500, 2:] = given[:500, :2] + random.uniform(-2, 2, (500, 2))
    boxes, rows, counts = clean(*given)
    expected = [plain(box, *SHAPE) for box in given.tolist()]
    assert rows.tolist() == [row for row, box in enumerate(expected) if box]
    np.testing.assert_allclose(boxes, [box for box in expected if box], rtol=1e-6)
    left_out = counts[b.NOT_FINITE] + counts[b.OUTSIDE] + counts[b.SMALL]
    assert left_out == 2000 - len(rows)
    again, _, none = clean(*boxes)
    np.testing.assert_array_equal(again, boxes)
    assert none == {}


def test_one_line_in_the_log(caplog):
    boxes = [(1, 2, 3, 4), (0, 0, 40, 5), (9, 9, 2, 2), (4, 4, 4, 9), (5, 5, 8, 8)]
    _, _, counts = clean(*boxes, crowd=[False] * 4 + [True])
    b.log(counts, 1234, "coco/2017 train")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "coco/2017 train: of 1,234 boxes, left out 1 crowd or difficult, 1 below 1 pixel; "
        "kept 1 with swapped corners, 1 clipped to the image"
    )


def test_nothing_to_say(caplog):
    b.log(clean((1, 2, 3, 4))[2], 1, "x")
    assert not caplog.records


def test_relative_boxes_as_keras_has_them():
    relative = np.random.RandomState(0).uniform(0, 1, (20, 4)).astype(np.float32)
    expected = keras.utils.bounding_boxes.convert_format(
        relative, "rel_yxyx", "xyxy", height=480, width=640
    )
    np.testing.assert_allclose(b.from_relative(relative, (480, 640)), expected, atol=1e-3)


def test_whole_pixels_come_out_whole():
    whole = np.random.RandomState(0).randint(0, 500, (1000, 4))
    relative = (whole[:, [1, 0, 3, 2]] / [375, 500, 375, 500]).astype(np.float32)
    np.testing.assert_array_equal(b.from_relative(relative, (375, 500)), whole)


def test_padding_inside_tf_data():
    given = tf.ragged.constant([[[1.0, 2, 3, 4]], [[1.0, 2, 3, 4], [5, 6, 7, 8]]], ragged_rank=1)
    labels = tf.ragged.constant([[3], [0, 1]], tf.int64)

    def padded(boxes, labels):
        return b.pad(boxes, labels, 2)

    dataset = tf.data.Dataset.from_tensor_slices((given, labels)).map(padded).batch(2)
    boxes, labels = next(dataset.as_numpy_iterator())
    np.testing.assert_array_equal(boxes[0], [[1, 2, 3, 4], [0, 0, 0, 0]])
    np.testing.assert_array_equal(labels, [[3, -1], [0, 1]])
    with pytest.raises(tf.errors.InvalidArgumentError):
        b.pad(tf.zeros([3, 4]), tf.zeros([3], tf.int64), 2)
