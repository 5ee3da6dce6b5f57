"""The sizes at which images are looked at."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnns.detection import Geometry, default_scales, scaled_shape

ACCURATE = Geometry(221, 36, 3, 5, 317, 3, "pool6")
FAST = Geometry(231, 32, 2, 6, 327, 3, "pool5")
DIGITS = Geometry(32, 8, 2, 3, 48, 1, "pool4")


def test_short_sides():
    assert default_scales(ACCURATE) == (245, 281, 317, 389, 425, 461)  # table 5
    assert default_scales(FAST) == (247, 279, 311, 375, 407, 439)
    assert default_scales(DIGITS) == (36, 44, 52, 68, 76, 84)


@pytest.mark.parametrize(
    ("shape", "scale", "expected"),
    [
        ((100, 100), 245, (245, 245)),
        ((480, 640), 245, (245, 317)),  # 326.7: 317 or 353
        ((640, 480, 3), 245, (317, 245)),
        ((480, 640), 461, (461, 605)),  # 614.7
        ((281, 317), 281, (281, 317)),  # table 5's own sizes stay as they are
        ((317, 389), 317, (317, 389)),
        ((389, 461), 389, (389, 461)),
        ((425, 497), 425, (425, 497)),
        ((461, 569), 461, (461, 569)),
        ((245, 262), 245, (245, 245)),  # 17 pixels too few for a stride
        ((245, 263), 245, (245, 281)),  # 18 are half a stride
        ((10, 1000), 245, (245, 245 + 36 * 47)),  # eight to one at most
        ((1, 1), 461, (461, 461)),
        ((480, 640), (300, 310), (300, 310)),
        ((480, 640), np.int64(245), (245, 317)),
    ],
)
def test_long_sides(shape, scale, expected):
    assert scaled_shape(ACCURATE, shape, scale) == expected


def test_long_sides_are_the_nearest_of_whole_strides():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 5000, (300, 2)).tolist():
        for g in (ACCURATE, FAST, DIGITS):
            short = default_scales(g)[rng.integers(6)]
            sides = sorted(scaled_shape(g, (height, width), short))
            exact = short * max(height, width) / min(height, width)
            buckets = np.arange(short, 8 * short + 1, g.stride)
            assert sides[0] == short
            assert sides[1] in buckets
            assert abs(sides[1] - exact) <= np.abs(buckets - exact).min() + 1e-9
            assert (sides[1] - g.smallest) % g.stride == 0  # windows fill it


def test_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec((), tf.int32)] * 2)
    def shape(height, width):
        return scaled_shape(ACCURATE, (height, width), 389)

    for size in [(480, 640), (77, 30), (1, 1), (9, 4000)]:
        np.testing.assert_array_equal(shape(*size), scaled_shape(ACCURATE, size, 389))


@pytest.mark.parametrize(
    "scale", [0, -36, 245.0, "245", None, (245,), (245, 0), (1, 2, 3), [1.5, 2]]
)
def test_refuses_scales(scale):
    with pytest.raises(ValueError, match=r"Received: scale="):
        scaled_shape(ACCURATE, (480, 640), scale)
