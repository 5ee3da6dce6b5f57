"""The first layer's filters: those of the right layer, tower by tower, each on its own scale."""

import keras
import numpy as np
import pytest

from tfcnns import models
from tfcnns.layers import MaxoutConv
from tfcnns.plots.filters import COLUMNS, first_filters, plot_filters


def test_filters_of_each_kind_of_first_layer():
    alexnet = models.alexnet((67, 67, 3), width=1 / 8, preprocessing=[keras.layers.Rescaling(1)])
    name, towers = first_filters(alexnet)
    assert name == "conv1"
    assert [kernel.shape for kernel in towers] == [(11, 11, 3, 6)] * 2
    layer = alexnet.get_layer("conv1")
    np.testing.assert_array_equal(np.concatenate(towers, -1)[..., 6:], layer.convs[1].kernel)
    for model, expected in (
        (models.nin_mnist(width=0.1), ("mlpconv1", [(5, 5, 1, 10)])),  # and not its 1x1 layers
        (models.overfeat("digits"), ("conv1", [(5, 5, 1, 32)])),
        (
            keras.Sequential([keras.Input((9, 9, 3)), MaxoutConv(4, 3, 2, name="it")]),
            ("it", [(3, 3, 3, 8)]),
        ),
    ):
        name, towers = first_filters(model)
        assert [kernel.shape for kernel in towers] == expected[1]
        assert name == expected[0]


def test_layers_that_do_not_look_at_pixels():
    assert first_filters(models.maxout_mnist_pi(width=0.05)) is None
    maps = keras.Sequential([keras.Input((9, 9, 8)), keras.layers.Conv2D(4, 3)])
    assert first_filters(maps) is None
    assert first_filters(keras.Sequential([keras.Input((9, 9, 3)), keras.layers.Flatten()])) is None


def test_zero_is_grey_and_the_largest_weight_black_or_white():
    kernels = np.zeros((2, 3, 1, COLUMNS + 1))
    kernels[0, 1, 0, 0], kernels[1, 2, 0, 0] = -0.001, 0.0005
    kernels[1, 0, 0, COLUMNS] = 7  # of the first filter in the second row
    (axes,) = plot_filters([kernels]).axes
    grid = axes.images[0].get_array()
    assert grid.shape == (2 * 3 - 1, COLUMNS * 4 - 1)
    np.testing.assert_allclose(grid[:2, :3], [[0.5, 0, 0.5], [0.5, 0.5, 0.75]])
    np.testing.assert_allclose(grid[3:, :3], [[0.5, 0.5, 0.5], [1, 0.5, 0.5]])
    assert (grid[2] == 1).all()  # a white line between the rows
    assert (grid[3:, 3:] == 1).all()  # and nothing beside the last filter
    assert "17 filters of 2 x 3 pixels, grey" in axes.get_title("left")


def test_a_grid_for_each_tower():
    rng = np.random.default_rng(0)
    towers = [rng.normal(size=(11, 11, 3, n)) for n in (20, 3)]
    figure = plot_filters(towers, "conv1")
    figure.canvas.draw()
    assert len(figure.axes) == 2
    for number, axes in enumerate(figure.axes):
        assert f"conv1, tower {number}:" in axes.get_title("left")
        assert axes.images[0].get_array().shape[-1] == 3
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert not boxes[0].overlaps(boxes[1])
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert figure.get_label() == "Grids of 20 and 3 filters of conv1, 11 x 11 pixels, in colour."


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (3, 3, 4)])
def test_other_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"1 or 3, n\). Received: shape \(3, 3"):
        plot_filters([np.zeros(shape)])
