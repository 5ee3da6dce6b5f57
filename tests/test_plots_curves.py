"""Learning curves show the numbers of history.csv."""

import csv
import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tfcnns.plots.curves import plot_curves


def history(**columns):
    rows = zip(*columns.values(), strict=True)
    return [{"epoch": i, **dict(zip(columns, row, strict=True))} for i, row in enumerate(rows, 1)]


def line(axes, split):
    (found,) = (x for x in axes.get_lines() if x.get_label().startswith(split))
    return found


def test_lines_are_the_columns():
    loss, val_loss = [2.0, 1.0, 0.5], [2.1, 1.4, 1.5]
    figure = plot_curves(
        history(loss=loss, accuracy=[0.5, 0.75, 1], val_loss=val_loss, val_accuracy=[0.4, 0.6, 0.5])
    )
    losses, errors = figure.axes
    np.testing.assert_array_equal(line(losses, "train").get_xydata()[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(line(losses, "train").get_ydata(), loss)
    np.testing.assert_array_equal(line(losses, "validation").get_ydata(), val_loss)
    np.testing.assert_allclose(line(errors, "train").get_ydata(), [50, 25, 0])
    np.testing.assert_allclose(line(errors, "validation").get_ydata(), [60, 40, 50])
    assert errors.get_ylabel() == "error in %"
    assert line(errors, "validation").get_label().endswith("last 50.0 %, lowest 40.0 % (epoch 2)")
    assert "lowest 1.4 (epoch 2)" in figure.get_label()
    train, validation = line(losses, "train"), line(losses, "validation")
    for look in ("get_color", "get_linestyle", "get_marker"):  # colour is not all that differs
        assert getattr(train, look)() != getattr(validation, look)()
    assert isinstance(figure.canvas, FigureCanvasAgg)


def test_strings_of_a_csv_file_and_gaps():
    text = "epoch,loss,val_loss,accuracy\n1,2.5,,0.5\n2,2.0,2.25,0.5\n3,1.5,,0.5\n4,1.25,1.75,0.5\n"
    losses, _ = plot_curves(list(csv.DictReader(io.StringIO(text)))).axes
    np.testing.assert_array_equal(line(losses, "train").get_ydata(), [2.5, 2.0, 1.5, 1.25])
    np.testing.assert_array_equal(line(losses, "validation").get_xydata(), [[2, 2.25], [4, 1.75]])


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([2.0, 1.5], "linear"),
        ([2.0, 0.1], "log"),
        ([2, 0.1, 0], "symlog"),
        ([3, 0.1, -1], "linear"),
    ],
)
def test_scale_follows_the_range(losses, scale):
    axes = plot_curves(history(loss=losses)).axes[0]
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low <= min(losses)
    assert high >= max(losses)


def test_ticks_of_a_logarithmic_axis_are_plain_numbers():
    figure = plot_curves(history(loss=[2.0, 0.01]))
    figure.canvas.draw()
    ticks = {text.get_text() for text in figure.axes[0].get_yticklabels()}
    assert {"0.01", "0.1", "1"} <= ticks


def test_one_epoch_and_no_accuracy():
    figure = plot_curves(history(loss=[0.5]))
    figure.canvas.draw()
    (axes,) = figure.axes
    assert line(axes, "train").get_marker() != "None"
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_a_loss_that_became_nan_is_named():
    figure = plot_curves(history(loss=[2.0, float("nan"), float("inf")], accuracy=[0.1] * 3))
    figure.canvas.draw()
    train = line(figure.axes[0], "train")
    np.testing.assert_array_equal(train.get_ydata(), [2, np.nan, np.nan])
    assert train.get_label() == "train: not finite from epoch 2"
    assert "not finite from epoch 2" in figure.get_label()


def test_nothing_but_nan():
    figure = plot_curves(history(loss=["nan", "nan"], val_loss=["nan", "nan"]))
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[0].texts] == ["no finite value"]


def test_steps_of_the_learning_rate_are_marked():
    steps = plot_curves(history(loss=[1.0] * 6, learning_rate=[0.1, 0.1, 0.01, 0.01, 0.001, 0.001]))
    assert [text.get_text() for text in steps.axes[0].texts] == ["rate 0.01", "rate 0.001"]
    smooth = plot_curves(history(loss=[1.0] * 20, learning_rate=np.linspace(0.1, 0, 20)))
    assert not smooth.axes[0].texts


def test_no_epoch():
    with pytest.raises(ValueError, match=r"Received: history=\[\]"):
        plot_curves([])
