"""Window rectangles: literal numbers for the paper's scales, and fractions for all others."""

from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.detection import (
    Geometry,
    boxes_in_pixels,
    default_scales,
    scaled_shape,
    window_boxes,
)
from tfcnns.models import overfeat
from tfcnns.pipelines.transforms import resize

ACCURATE = Geometry(221, 36, 3, 5, 317, 3, "pool6")
FAST = Geometry(231, 32, 2, 6, 327, 3, "pool5")
DIGITS = Geometry(32, 8, 2, 3, 48, 1, "pool4")

# For each side in table 5, where the windows of each offset of the accurate net's last pool begin.
STARTS = {
    245: ([0], [12], [24]),
    281: ([0, 36], [12, 48], [24, 60]),
    317: ([0, 36, 72], [12, 48, 84], [24, 60, 96]),
    389: (
        [0, 36, 72, 108, 144],
        [12, 48, 84, 120, 156],
        [24, 60, 96, 132, 168],
    ),
    425: (
        [0, 36, 72, 108, 144, 180],
        [12, 48, 84, 120, 156, 192],
        [24, 60, 96, 132, 168, 204],
    ),
    461: (
        [0, 36, 72, 108, 144, 180, 216],
        [12, 48, 84, 120, 156, 192, 228],
        [24, 60, 96, 132, 168, 204, 240],
    ),
    497: (
        [0, 36, 72, 108, 144, 180, 216, 252],
        [12, 48, 84, 120, 156, 192, 228, 264],
        [24, 60, 96, 132, 168, 204, 240, 276],
    ),
    569: (
        [0, 36, 72, 108, 144, 180, 216, 252, 288, 324],
        [12, 48, 84, 120, 156, 192, 228, 264, 300, 336],
        [24, 60, 96, 132, 168, 204, 240, 276, 312, 348],
    ),
}


@pytest.mark.parametrize(
    ("size", "final_map"),
    [
        ((245, 245), (3, 3)),
        ((281, 317), (6, 9)),
        ((317, 389), (9, 15)),
        ((389, 461), (15, 21)),
        ((425, 497), (18, 24)),
        ((461, 569), (21, 30)),
    ],
)
def test_windows_of_each_scale_and_offset_of_table_5(size, final_map):
    found = np.asarray(window_boxes(ACCURATE, size))
    assert found.shape == (*final_map, 4)
    for dy, dx in np.ndindex(3, 3):
        expected = [
            [[x, y, x + 221, y + 221] for x in STARTS[size[1]][dx]] for y in STARTS[size[0]][dy]
        ]
        np.testing.assert_array_equal(found[dy::3, dx::3], expected)
    np.testing.assert_array_equal(found[-1, -1, 2:], size[::-1])  # every pixel is in a window


def test_nine_windows_of_the_first_scale():
    found = np.asarray(window_boxes(overfeat("accurate", width=0.01), (245, 245, 3)))
    assert found.astype(int).tolist() == [
        [[0, 0, 221, 221], [12, 0, 233, 221], [24, 0, 245, 221]],
        [[0, 12, 221, 233], [12, 12, 233, 233], [24, 12, 245, 233]],
        [[0, 24, 221, 245], [12, 24, 233, 245], [24, 24, 245, 245]],
    ]


def test_windows_of_the_other_nets():
    assert np.asarray(window_boxes(FAST, (247, 279))).astype(int).tolist() == [
        [[0, 0, 231, 231], [16, 0, 247, 231], [32, 0, 263, 231], [48, 0, 279, 231]],
        [[0, 16, 231, 247], [16, 16, 247, 247], [32, 16, 263, 247], [48, 16, 279, 247]],
    ]
    assert np.asarray(window_boxes(DIGITS, (36, 37, 1))).astype(int).tolist() == [
        [[0, 0, 32, 32], [4, 0, 36, 32]],
        [[0, 4, 32, 36], [4, 4, 36, 36]],
    ]


def test_small_images_have_offset_0_alone():
    assert np.asarray(window_boxes(DIGITS, (35, 48))).astype(int).tolist() == [
        [[0, 0, 32, 32], [8, 0, 40, 32], [16, 0, 48, 32]]
    ]
    np.testing.assert_array_equal(window_boxes(DIGITS, (32, 32)), [[[0, 0, 32, 32]]])


def test_images_below_the_window_are_seen_whole():
    np.testing.assert_array_equal(window_boxes(DIGITS, (1, 1)), [[[0, 0, 1, 1]]])
    np.testing.assert_array_equal(window_boxes(ACCURATE, (110, 110)), [[[0, 0, 110, 110]]])
    # 16 x 20 is seen as 32 x 40: two windows, 8 of those 40 pixels apart
    found = window_boxes(DIGITS, (16, 20))
    np.testing.assert_array_equal(found, [[[0, 0, 16, 16], [4, 0, 20, 16]]])
    # and so is it when 64 x 80 was scaled to it
    found = window_boxes(DIGITS, (64, 80), (16, 20))
    np.testing.assert_array_equal(found, [[[0, 0, 64, 64], [16, 0, 80, 64]]])


@pytest.mark.parametrize("shape", [(480, 640), (3000, 4000, 3), (37, 111), (427, 640), (641, 99)])
@pytest.mark.parametrize("g", [ACCURATE, FAST, DIGITS], ids=["accurate", "fast", "digits"])
def test_scaled_windows_come_back_exactly(g, shape):
    for scale in default_scales(g):
        scaled = scaled_shape(g, shape, scale)
        inner = np.asarray(window_boxes(g, scaled)).astype(int)
        found = np.asarray(window_boxes(g, shape, scaled))
        assert found.shape == inner.shape
        for row, column in [(0, 0), (-1, -1), (1, 1)]:
            exact = [
                Fraction(int(edge) * side, seen)
                for edge, side, seen in zip(
                    inner[row, column], shape[1::-1] * 2, scaled[::-1] * 2, strict=True
                )
            ]
            assert found[row, column].tolist() == [np.float32(edge) for edge in exact]
        assert found[-1, -1, 2:].tolist() == [shape[1], shape[0]]


def test_windows_agree_with_the_resize_filter():
    """The mean of a ramp of coordinates over a window is the middle of its rectangle."""
    shape, scaled = (90, 120), (60, 84)
    y, x = np.meshgrid(np.arange(90) + 0.5, np.arange(120) + 0.5, indexing="ij")
    seen = np.asarray(resize(np.stack([x, y], axis=-1).astype("float32"), *scaled))
    inner = np.asarray(window_boxes(DIGITS, scaled)).astype(int)
    found = np.asarray(window_boxes(DIGITS, shape, scaled))
    for i, j in [(1, 1), (2, 5), (3, 7)]:  # away from the image's edges, where ramps end
        x0, y0, x1, y1 = inner[i, j]
        middle = (found[i, j, :2] + found[i, j, 2:]) / 2
        np.testing.assert_allclose(seen[y0:y1, x0:x1].mean((0, 1)), middle, atol=0.01)


def test_boxes_in_pixels():
    windows = window_boxes(DIGITS, (64, 72), (32, 36 + 4))  # 64 x 64 / 2 pixels each
    assert windows.shape == (1, 2, 4)
    edges = np.float32([[[0, 0, 1, 1], [0.25, -0.5, 0.5, 1.5]]])
    found = np.asarray(boxes_in_pixels(windows, edges))
    width, left = 32 * 72 / 40, 8 * 72 / 40
    expected = [[0, 0, width, 64], [left + width / 4, -32, left + width / 2, 96]]
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    per_class = np.stack([edges, 2 * edges], axis=2)  # (1, 2, classes, 4)
    np.testing.assert_array_equal(boxes_in_pixels(windows, per_class)[:, :, 0], found)
    np.testing.assert_allclose(
        boxes_in_pixels(windows, per_class)[0, 1, 1], [left + width / 2, -64, left + width, 192]
    )


@pytest.mark.parametrize("size", [(245, 281), (230, 300), (20, 10), (600, 500)])
def test_in_a_graph_that_does_not_know_the_size(size):
    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def boxes(image):
        shape = keras.ops.shape(image)
        scaled = scaled_shape(ACCURATE, shape, 281)
        return window_boxes(ACCURATE, shape), window_boxes(ACCURATE, shape, scaled)

    whole, scaled = boxes(tf.zeros((*size, 3)))
    np.testing.assert_array_equal(whole, window_boxes(ACCURATE, size))
    expected = window_boxes(ACCURATE, size, scaled_shape(ACCURATE, size, 281))
    np.testing.assert_array_equal(scaled, expected)


@pytest.mark.parametrize("shape", [(0, 100), (100, -1), (100,)])
def test_refuses_what_is_no_image(shape):
    with pytest.raises(ValueError, match=r"height and a width of 1 or more. Received: \("):
        window_boxes(ACCURATE, shape)
