"""Targets of windows against boxes counted by hand, and against loops."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnns.detection import Geometry
from tfcnns.detection.targets import box_targets, class_targets, coarse_windows, match_objects

WINDOWS = np.float32([[0, 0, 10, 10], [10, 0, 20, 10], [100, 100, 110, 110]])


def loops(windows, boxes, labels, least, overlap, sides):
    """The rule of `match_objects`, one window and one box at a time."""
    result = np.full(windows.shape[:-1], -1)
    for place in np.ndindex(*result.shape):
        x0, y0, x1, y1 = windows[place]
        best = -1.0
        for n, (a, b, c, d) in enumerate(boxes):
            common = max(min(x1, c) - max(x0, a), 0) * max(min(y1, d) - max(y0, b), 0)
            area = (c - a) * (d - b)
            if labels[n] < 0 or common == 0:
                continue
            iou = common / ((x1 - x0) * (y1 - y0) + area - common)
            share = common / area if overlap == "object" else iou
            side = max((c - a) / (x1 - x0), (d - b) / (y1 - y0))
            if share >= least and sides[0] <= side <= sides[1] and iou > best:
                result[place], best = n, iou
    return result


def test_a_box_in_units_of_its_window():
    targets = box_targets(WINDOWS, np.float32([[2, 4, 12, 9]]), np.int64([7]))
    # 80 % of the box lie in the first window, 20 % in the second.
    np.testing.assert_allclose(targets[0], [0.2, 0.4, 1.2, 0.9, 7], rtol=1e-6)
    np.testing.assert_array_equal(targets[1:], [[0, 0, 0, 0, -1]] * 2)
    near = box_targets(WINDOWS, np.float32([[2, 4, 12, 9]]), np.int64([7]), least=0.2)
    np.testing.assert_allclose(near[1], [-0.8, 0.4, 0.2, 0.9, 7], rtol=1e-6)


def test_the_two_readings_of_the_half():
    half_in = np.float32([[5, 0, 15, 10]])  # half of it in each window, an IoU of a third
    slim = np.float32([[2, 0, 5, 10]])  # all of it in the first window, an IoU of .3
    for boxes, of_object, of_iou in (
        (half_in, [0, 0, -1], [-1] * 3),
        (slim, [0, -1, -1], [-1] * 3),
    ):
        np.testing.assert_array_equal(match_objects(WINDOWS, boxes, [1]), of_object)
        np.testing.assert_array_equal(match_objects(WINDOWS, boxes, [1], overlap="iou"), of_iou)
    large = np.float32([[0, 0, 14, 10]])  # 71 % in the window, which it fills
    np.testing.assert_array_equal(match_objects(WINDOWS, large, [1], overlap="iou"), [0, -1, -1])


def test_the_object_that_fills_the_window_best_and_the_first_of_equal_ones():
    boxes = np.float32([[1, 1, 3, 3], [1, 1, 8, 8], [2, 2, 9, 9]])
    assert match_objects(WINDOWS[:1], boxes, [0, 1, 2])[0] == 1
    assert match_objects(WINDOWS[:1], boxes, [0, -1, 2])[0] == 2
    assert match_objects(WINDOWS[:1], boxes, [0, 1, 2], sides=(0.1, 0.3))[0] == 0


@pytest.mark.parametrize("overlap", ["object", "iou"])
@pytest.mark.parametrize("sides", [(0.0, 1e9), (0.4, 1.1)])
def test_random_boxes_against_loops(overlap, sides):
    random = np.random.RandomState(0)
    corners = random.randint(0, 60, (5, 7, 2))
    windows = np.concatenate([corners, corners + 16], axis=-1).astype("float32")
    first = random.randint(0, 60, (40, 2))
    boxes = np.concatenate([first, first + random.randint(1, 25, (40, 2))], axis=1)
    labels = random.randint(-1, 3, 40)
    expected = loops(windows, boxes, labels, 0.5, overlap, sides)
    found = match_objects(windows, boxes, labels, 0.5, overlap, sides)
    np.testing.assert_array_equal(found, expected)
    assert (expected >= 0).any()
    targets = box_targets(windows, boxes, labels, overlap=overlap, sides=sides).numpy()
    for place in zip(*np.nonzero(expected >= 0), strict=True):
        corner = windows[place][[0, 1, 0, 1]]
        box = (boxes[expected[place]] - corner) / 16
        np.testing.assert_allclose(targets[place], [*box, labels[expected[place]]], rtol=1e-5)


def test_no_boxes_empty_boxes_and_padding_give_zeros():
    for boxes, labels in (
        (np.zeros((0, 4), "float32"), np.zeros(0, "int64")),
        (np.float32([[5, 5, 5, 9]]), np.int64([1])),
        (np.zeros((3, 4), "float32"), np.full(3, -1)),
    ):
        targets = box_targets(WINDOWS, boxes, labels)
        np.testing.assert_array_equal(targets, [[0, 0, 0, 0, -1]] * 3)
        assert (class_targets(WINDOWS, boxes, labels, background=9) == 9).numpy().all()


def test_classes_background_and_room_in_between():
    boxes = np.float32([[2, 0, 10, 8]])  # its longer side is .8 of the window
    windows = np.float32(
        [[0, 0, 10, 10], [4, 0, 14, 10], [7, 0, 17, 10], [0, 0, 40, 40], [0, 0, 4, 4]]
    )
    # All of it inside, three quarters, three eighths; too small for `near`; too large for it.
    found = class_targets(windows, boxes, [3], background=9)
    np.testing.assert_array_equal(found, [3, 3, 9, 9, 9])
    found = class_targets(windows, boxes, [3], background=9, least=0.8)
    np.testing.assert_array_equal(found, [3, -1, 9, 9, 9])
    found = class_targets(windows, boxes, [3], background=9, near=(0.1, 1.5))
    np.testing.assert_array_equal(found, [3, 3, 9, -1, 9])


def crowded(windows, boxes, crowd, most, overlap, near):
    """Windows on a crowd, one window and one box at a time, by the docstring's two sentences."""
    result = np.zeros(windows.shape[:-1], bool)
    for place in np.ndindex(*result.shape):
        x0, y0, x1, y1 = windows[place]
        for a, b, c, d in boxes[crowd]:
            common = max(min(x1, c) - max(x0, a), 0) * max(min(y1, d) - max(y0, b), 0)
            window, area = (x1 - x0) * (y1 - y0), (c - a) * (d - b)
            share = common / (area if overlap == "object" else window + area - common)
            side = max((c - a) / (x1 - x0), (d - b) / (y1 - y0))
            of_a_size = share >= most and near[0] <= side <= near[1]
            result[place] |= common > 0 and (of_a_size or common >= most * window)
    return result


def test_what_crowds_show_is_nothing_to_learn():
    """Windows of 10 pixels on a crowd of 30, a difficult object of 4 and a speck of 1."""
    boxes = np.float32([[0, 0, 30, 30], [51, 1, 55, 5], [61, 1, 62, 2], [2, 2, 10, 10]])
    labels, crowd = np.int64([7, 7, 7, 3]), np.array([True, True, True, False])
    corners = np.float32([[0, 0], [11, 5], [25, 0], [26, 0], [50, 0], [60, 0], [80, 0]])
    windows = np.concatenate([corners, corners + 10], axis=1)
    # A whole object in a crowd is one; inside, half inside, less; held, a speck, nothing.
    expected = [3, -1, -1, 9, -1, 9, 9]
    found = class_targets(windows, boxes, labels, background=9, crowd=crowd)
    np.testing.assert_array_equal(found, expected)
    targets = box_targets(windows, boxes, labels, crowd).numpy()
    np.testing.assert_array_equal(targets[:, 4], [3, -1, -1, -1, -1, -1, -1])
    np.testing.assert_allclose(targets[0, :4], [0.2, 0.2, 1, 1], rtol=1e-6)
    without = class_targets(windows, boxes[3:], labels[3:], background=9)
    np.testing.assert_array_equal(without, [3, 9, 9, 9, 9, 9, 9])  # as it would be to drop them


@pytest.mark.parametrize("overlap", ["object", "iou"])
def test_random_crowds_against_loops(overlap):
    random = np.random.RandomState(1)
    corners = random.randint(0, 60, (9, 7, 2))
    windows = np.concatenate([corners, corners + 16], axis=-1).astype("float32")
    first = random.randint(0, 60, (12, 2))
    boxes = np.concatenate([first, first + random.randint(1, 40, (12, 2))], axis=1)
    boxes, labels, crowd = boxes.astype("float32"), random.randint(-1, 3, 12), np.arange(12) < 5
    rules = {"least": 0.5, "most": 0.4, "overlap": overlap, "sides": (0.4, 1.1), "near": (0.3, 1.5)}
    real = labels[~crowd]
    best = loops(windows, boxes[~crowd], real, 0.5, overlap, (0.4, 1.1))
    close = loops(windows, boxes[~crowd], real, 0.4, overlap, (0.3, 1.5)) >= 0
    hidden = crowded(windows, boxes, crowd, 0.4, overlap, (0.3, 1.5))
    expected = np.where(best >= 0, np.append(real, 0)[best], np.where(close | hidden, -1, 9))
    found = class_targets(windows, boxes, labels, background=9, crowd=crowd, **rules)
    np.testing.assert_array_equal(found, expected)
    assert (hidden & ~close & (best < 0)).any()
    assert (expected == 9).any()


def test_coarse_windows_are_those_of_the_model():
    g = Geometry(32, 8, 2, 3, 48, 1, "pool4")
    windows = coarse_windows(g, 68, 44).numpy()
    assert windows.shape == (5, 2, 4)
    np.testing.assert_array_equal(windows[0, 0], [0, 0, 32, 32])
    np.testing.assert_array_equal(windows[4, 1], [8, 32, 40, 64])


def test_inside_tf_data():
    boxes, labels = np.float32([[[2, 4, 12, 9], [0, 0, 0, 0]]]), np.int64([[7, -1]])
    dataset = tf.data.Dataset.from_tensor_slices((boxes, labels))
    (targets,) = dataset.map(lambda b, n: box_targets(WINDOWS, b, n)).as_numpy_iterator()
    np.testing.assert_array_equal(targets, box_targets(WINDOWS, boxes[0], labels[0]))


def test_an_unknown_reading_is_refused():
    with pytest.raises(ValueError, match=r"`overlap` must be one of .* Received: overlap='area'"):
        match_objects(WINDOWS, WINDOWS, [1, 1, 1], overlap="area")
