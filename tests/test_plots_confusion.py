"""The confusion matrix holds every count, whatever the number of classes."""

import numpy as np
import pytest

from tfcnns.plots.confusion import plot_confusion


def texts(axes):
    return [(text.get_position(), text.get_text()) for text in axes.texts]


def test_counts_stand_in_their_cells():
    figure = plot_confusion([[8, 0, 2], [0, 0, 0], [1, 0, 1234]], ["cat", "dog", "emu"])
    axes = figure.axes[0]
    counts = [((0, 0), "8"), ((2, 0), "2"), ((0, 2), "1"), ((2, 2), "1,234")]  # (said, true)
    assert texts(axes)[:4] == counts
    assert [text for _, text in texts(axes)[4:]] == ["error", "20.0 %", "none", "0.1 %"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "dog", "emu"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", "dog", "emu"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("said", "true")
    assert "1,242 of 1,245" in figure.get_label()
    assert "cat → emu: 2." in figure.get_label()


def test_colours_are_shares_of_rows():
    shown = plot_confusion([[3, 1], [0, 8]], "ab").axes[0].images[0].get_array()
    np.testing.assert_allclose(shown.filled(-1), [[0.75, 0.25], [-1, 1]])  # -1: left white


def contrast(color, background):
    """Contrast of two colours as the Web Content Accessibility Guidelines define it."""

    def luminance(rgb):
        rgb = np.asarray(rgb[:3], dtype=float)
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted((luminance(color), luminance(background)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("percent", [1, 5, 15, 20, 21, 30, 50, 80, 100])
def test_counts_can_be_read_on_their_cell(percent):
    axes = plot_confusion([[percent, 100 - percent], [0, 1]], "ab").axes[0]
    (image,) = axes.images
    background = image.cmap(image.norm(percent / 100))
    ink = {"white": (1, 1, 1), "black": (0, 0, 0)}[axes.texts[0].get_color()]
    assert contrast(ink, background) >= 4.5


@pytest.mark.parametrize("classes", [26, 100, 1000])
def test_many_classes_list_the_most_frequent_mistakes(classes):
    matrix = 50 * np.eye(classes, dtype=int)
    matrix[3, 5], matrix[20, 2] = 7, 9
    figure = plot_confusion(matrix, [f"class {i}" for i in range(classes)])
    figure.canvas.draw()
    matrix_axes, beside = figure.axes[:2]
    assert not matrix_axes.texts
    assert not matrix_axes.get_xticklabels()
    listed = beside.texts[0].get_text()
    assert listed.endswith("class 20 → class 2: 9\nclass 3 → class 5: 7")
    right = beside.texts[0].get_window_extent().x1
    assert right <= figure.bbox.x1


def test_neighbouring_classes_share_a_cell_and_no_mistake_is_lost():
    matrix = np.eye(999, dtype=int)
    matrix[998, 0] = 1
    shown = plot_confusion(matrix, range(999)).axes[0].images[0].get_array().filled(0)
    assert shown.shape == (250, 250)
    assert shown[-1, 0] == 0.5
    assert np.count_nonzero(shown) == 251


def test_nothing_at_all():
    figure = plot_confusion(np.zeros((2, 2), int), ["cat", "dog"])
    figure.canvas.draw()
    assert figure.get_label().endswith("No mistakes.")


def test_names_that_matplotlib_could_take_for_formulas():
    plot_confusion([[1, 2], [3, 4]], [r"$\nonsense$", "_"]).canvas.draw()


def test_names_must_fit():
    with pytest.raises(ValueError, match=r"\(3\).*Received: matrix\.shape=\(2, 2\)"):
        plot_confusion(np.eye(2), ["a", "b", "c"])
