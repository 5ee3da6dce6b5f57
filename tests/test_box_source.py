"""A source of images with boxes from the arrays that people have."""

import logging

import numpy as np
import pytest

from tfcnns.errors import UserError
from tfcnns.pipelines.box_source import from_scenes

IMAGES = [np.full((20, 30, 1), level, "uint8") for level in (10, 20, 30)]
BOXES = [[(1, 2, 9, 9)], [], np.float32([(0, 0, 30, 20), (5, 5, 10, 15)])]
LABELS = [[1], [], np.int32([0, 1])]


def test_what_goes_in_comes_out():
    source = from_scenes(IMAGES, BOXES, LABELS, ("a", "b"))
    rows = list(source.dataset().as_numpy_iterator())
    assert [image[0, 0, 0] for image, _, _ in rows] == [10, 20, 30]
    np.testing.assert_array_equal(rows[0][1], [(1, 2, 9, 9), (0, 0, 0, 0)])
    np.testing.assert_array_equal(rows[2][1], BOXES[2])
    assert [labels.tolist() for _, _, labels in rows] == [[1, -1], [-1, -1], [0, 1]]
    assert source.class_names == ("a", "b")


def test_flags_of_crowds_go_with_their_boxes():
    boxes = [BOXES[0], [], [(40, 0, 50, 9), (5, 5, 10, 15), (0, 0, 30, 20)]]  # the first is outside
    labels, crowd = [[1], [], [0, 1, 0]], [[False], [], [True, False, True]]
    source = from_scenes(IMAGES, boxes, labels, ("a", "b"), crowd=crowd)
    rows = list(source.dataset().as_numpy_iterator())
    assert [labels.tolist() for *_, labels, _ in rows] == [[1, -1], [-1, -1], [1, 0]]
    assert [flags.tolist() for *_, flags in rows] == [[False, False]] * 2 + [[False, True]]


def test_boxes_are_cleaned_image_by_image(caplog):
    boxes = [[(9, 9, 1, 2)], [(40, 0, 50, 9)], [(0, 0, 99, 20), (5, 5, 5, 15)]]
    with caplog.at_level(logging.WARNING):
        source = from_scenes(IMAGES, boxes, [[1], [0], [0, 1]], ("a", "b"))
    rows = list(source.dataset().as_numpy_iterator())
    assert [labels.tolist() for _, _, labels in rows] == [[1], [-1], [0]]
    np.testing.assert_array_equal(
        [box[0] for _, box, _ in rows][::2], [(1, 2, 9, 9), (0, 0, 30, 20)]
    )
    assert "of 4 boxes, left out 1 outside the image, 1 below 1 pixel" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"boxes": BOXES[:2]}, "3 images, boxes of 2, labels of 3"),
        ({"images": [], "boxes": [], "labels": []}, "0 images"),
        ({"images": [IMAGES[0] / 255, *IMAGES[1:]]}, r"image 0 must be uint8.*float64"),
        ({"images": [*IMAGES[:2], IMAGES[2][..., 0]]}, r"image 2 must be .*uint8 \(20, 30\)"),
        ({"boxes": [[(1, 2, 9)], *BOXES[1:]]}, r"boxes of image 0 must be \(1, 4\).*\(1, 3\)"),
        ({"labels": [[1, 1], *LABELS[1:]]}, r"boxes of image 0 must be \(2, 4\).*\(1, 4\)"),
        ({"labels": [[2], *LABELS[1:]]}, r"label 2 .* isn't in 0\.\.1"),
        ({"crowd": [[True], [], [True]]}, r"flag in crowd.*\[1, 0, 1\] flags, \[1, 0, 2\] labels"),
        ({"max_boxes": 1}, "max_boxes must be at least 2.*Received: 1"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_named(change, said):
    given = {"images": IMAGES, "boxes": BOXES, "labels": LABELS, "class_names": ("a", "b")}
    with pytest.raises(UserError, match=said):
        from_scenes(**{**given, **change})
