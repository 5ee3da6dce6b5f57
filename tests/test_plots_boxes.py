"""Pictures of boxes and of precision against recall: what is drawn, counted in the axes."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tfcnns.plots import BLUE
from tfcnns.plots.boxes import FOUND, TRUE, plot_detections, plot_scenes, plot_votes
from tfcnns.plots.precision_recall import plot_precision_recall

NAMES = ("zero", "one", "two")
IMAGE = np.random.RandomState(0).randint(0, 256, (40, 60, 1)).astype(np.uint8)
FOUR = {
    "boxes": np.float32([[2, 3, 20, 30], [30, 5, 44, 39], [0, 0, 60, 40], [5, 5, 5, 5]]),
    "classes": np.int64([0, 2, 1, 1]),
    "scores": np.float32([5, 3, 0.5, 0]),
}


def rectangles(axes, color):
    return [p for p in axes.patches if p.get_edgecolor()[:3] == to_rgb(color)]


def test_a_picture_has_its_size_and_the_boxes_above_the_score():
    figure = plot_detections(IMAGE, FOUR, NAMES, least=1)
    (axes,) = figure.axes
    width, height = figure.get_size_inches()
    assert width / height == pytest.approx(60 / 40)
    found = rectangles(axes, FOUND)
    assert [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in found] == [
        (1.5, 2.5, 18, 27),
        (29.5, 4.5, 14, 34),
    ]
    assert [text.get_text() for text in axes.texts] == ["zero 5.0", "two 3.0"]
    assert figure.get_label() == "A picture with 2 boxes."


def test_scenes_stand_in_rows_of_three():
    truth = {"boxes": FOUR["boxes"][:2], "classes": FOUR["classes"][:2]}
    none = {name: values[:0] for name, values in FOUR.items()}
    figure = plot_scenes([IMAGE, IMAGE], [truth, truth], [FOUR, none], [FOUR, none], NAMES, 1)
    assert len(figure.axes) == 6
    assert len(rectangles(figure.axes[0], TRUE)) == 2
    assert len(figure.axes[1].patches) == 4
    assert len(rectangles(figure.axes[2], FOUND)) == 2
    assert len(figure.axes[4].patches) == len(figure.axes[5].patches) == 0
    assert figure.get_label() == ("2 scenes with 4 objects, 4 boxes of windows and 2 merged boxes.")


def test_votes_have_a_dot_for_each_window_and_a_name_where_one_is_sure():
    windows = [np.float32([[[0, 0, 32, 32], [8, 0, 40, 32]]]), np.float32([[[0, 0, 40, 40]]])]
    scores = [np.float32([[[0.1, 0.2, 0.1], [0.0, 0.0, 0.9]]]), np.float32([[[0.1, 0.1, 0.1]]])]
    figure = plot_votes(IMAGE, windows, scores, ["small", "large"], NAMES)
    first, second = figure.axes
    np.testing.assert_allclose(first.collections[0].get_offsets(), [[16, 16], [24, 16]])
    assert [text.get_text() for text in first.texts] == ["two"]
    assert not second.texts
    assert first.get_title("center") == "small: 1 x 2 windows"


def test_precision_recall_draws_known_classes_and_their_mean():
    recall = np.linspace(0, 1, 101)
    precision = np.stack([np.ones(101), 1 - recall, np.full(101, np.nan)], axis=1)
    figure = plot_precision_recall(recall, precision, NAMES)
    (axes,) = figure.axes
    drawn = [line for line in axes.lines if len(line.get_xdata())]
    assert len(drawn) == 3
    (mean,) = [line for line in drawn if line.get_color() == BLUE]
    np.testing.assert_allclose(mean.get_ydata(), 1 - recall / 2)
    assert "0.750 over 2 classes; the worst, one, has 0.500" in figure.get_label()
    nothing = plot_precision_recall(recall, np.full((101, 3), np.nan), NAMES)
    assert nothing.get_label() == "No class has an object."
    with pytest.raises(ValueError, match=r"Received: precision.shape=\(3,\)"):
        plot_precision_recall(recall, np.ones(3), NAMES)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_picture_is_reduced_before_it_is_drawn(channels):
    """To no less than what the file shows; boxes stay in pixels of the picture itself."""
    quarters = np.kron([[10, 80], [150, 220]], np.ones((2000, 2500))).astype(np.uint8)
    image = np.repeat(quarters[..., None], channels, axis=2)
    one = {"boxes": [[2500, 2000, 5000, 4000]], "classes": [0], "scores": [1.0]}
    figure = plot_detections(image, one, ["cat"])
    (axes,) = figure.axes
    shown = axes.images[0].get_array()
    drawn = 2 * figure.dpi * figure.get_size_inches()[0]  # as the report's files are
    assert drawn <= shown.shape[1] <= 2 * drawn
    assert list(axes.images[0].get_extent()) == [-0.5, 4999.5, 3999.5, -0.5]
    assert axes.patches[0].get_bbox().bounds == (2499.5, 1999.5, 2500, 2000)
    middle = shown.shape[0] // 2, shown.shape[1] // 2
    for rows, top in ((slice(middle[0]), True), (slice(middle[0] + 1, None), False)):
        for columns, left in ((slice(middle[1]), True), (slice(middle[1] + 1, None), False)):
            expected = quarters[0 if top else -1, 0 if left else -1]
            assert (shown[rows, columns] == expected).all()
