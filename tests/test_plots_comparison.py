"""Curves of several runs: each run's numbers, told apart by more than colour."""

import numpy as np
import pytest

from tfcnns.plots.comparison import plot_comparison

ONE = [
    {"epoch": e, "loss": 2 / e, "accuracy": 0.5, "val_loss": 3 / e, "val_accuracy": 0.9}
    for e in (1, 2, 3)
]
TWO = [{"epoch": e, "loss": 1.0, "val_loss": float("nan")} for e in (1, 2)]  # no accuracies


def test_lines_are_those_of_the_runs():
    figure = plot_comparison({"one": ONE, "two": TWO})
    figure.canvas.draw()
    losses, errors = figure.axes
    train, validation, *_ = losses.get_lines()
    np.testing.assert_array_equal(train.get_xydata(), [[1, 2], [2, 1], [3, 2 / 3]])
    np.testing.assert_array_equal(validation.get_xydata(), [[1, 3], [2, 1.5], [3, 1]])
    assert len(losses.get_lines()) == 4
    np.testing.assert_allclose(errors.get_lines()[1].get_ydata(), [10, 10, 10])
    assert len(errors.get_lines()) == 2
    assert errors.get_ylabel() == "error in %"
    assert losses.get_xlabel() == "epoch"


def test_runs_differ_in_colour_and_marker_and_are_named():
    figure = plot_comparison({f"run {i}": ONE for i in range(7)})
    figure.canvas.draw()
    lines = [line for line in figure.axes[0].get_lines() if line.get_marker() != "None"]
    assert len({line.get_color() for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[3] == (
        "run 3: loss last 1, lowest 1 (epoch 3); error last 10.0 %, lowest 10.0 % (epoch 1)"
    )
    handles = [handle.get_color() for handle in legend.legend_handles]
    assert handles == [line.get_color() for line in lines]
    assert texts[3] in figure.get_label()


def test_long_names_leave_room_for_the_axes():
    figure = plot_comparison({f"a run with a very long name, {i}": ONE for i in range(7)})
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert legend.x1 <= figure.bbox.x1
    for axes in figure.axes:
        box = axes.get_window_extent()
        assert not box.overlaps(legend)
        assert box.width > 0.3 * figure.bbox.width
        assert box.height > 0.3 * figure.bbox.height


def test_a_run_without_validation_and_one_that_is_not_finite():
    alone = [{"epoch": 1, "loss": 1.5}]
    figure = plot_comparison({"alone": alone, "two": TWO})
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[0] == "alone: loss in training last 1.5"
    assert "not finite from epoch 1" in texts[1]


@pytest.mark.parametrize("count", [0, 8])
def test_too_many_or_none(count):
    with pytest.raises(ValueError, match=f"1 to 7 runs. Received: {count}"):
        plot_comparison({str(i): ONE for i in range(count)})
