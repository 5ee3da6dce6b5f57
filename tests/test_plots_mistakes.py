"""The worst mistakes come first, each with its picture."""

import numpy as np
import pytest

from tfcnns.plots.mistakes import plot_mistakes

NAMES = ["ant", "bee", "cow"]


def sample():
    """Five pictures, of one brightness each, and three mistakes among them."""
    images = np.arange(5).reshape(5, 1, 1, 1) / 5 * np.ones((5, 4, 4, 1))
    labels = np.array([0, 1, 2, 0, 1])
    probabilities = np.array(
        [[0.4, 0.6, 0.0], [0.0, 1.0, 0.0], [0.9, 0.05, 0.05], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]]
    )
    return images, labels, probabilities, NAMES


def captions(figure):
    return [axes.texts[0].get_text().replace("\n", " ") for axes in figure.axes]


def test_order_of_confidence():
    images, *rest = sample()
    figure = plot_mistakes(images, *rest)
    expected = ["true cow, said ant, 90 %", "true ant, said cow, 70 %", "true ant, said bee, 60 %"]
    assert captions(figure) == expected
    for axes, index in zip(figure.axes, [2, 3, 0], strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), images[index, ..., 0])
    assert figure.get_suptitle().startswith("All 3 mistakes among 5 pictures")
    assert "; ".join(expected) in figure.get_label()


def test_only_the_worst():
    figure = plot_mistakes(*sample(), count=2)
    assert captions(figure) == ["true cow, said ant, 90 %", "true ant, said cow, 70 %"]
    assert figure.get_suptitle().startswith("2 worst of 3 mistakes")


def test_one_mistake():
    images, _, probabilities, names = sample()
    figure = plot_mistakes(images, [1, 1, 0, 2, 0], probabilities, names)
    assert captions(figure) == ["true ant, said bee, 80 %"]
    assert figure.get_suptitle().startswith("The only mistake")


def test_no_mistake():
    images, _, probabilities, names = sample()
    figure = plot_mistakes(images, probabilities.argmax(1), probabilities, names)
    figure.canvas.draw()
    assert not figure.axes
    assert figure.texts[0].get_text() == "No mistakes among 5 pictures"
    assert figure.get_label() == "No mistakes among 5 pictures."


@pytest.mark.parametrize("name", ["7", "automobile", "long-named animal from far away"])
def test_captions_do_not_touch(name):
    rng = np.random.default_rng(0)
    names = [name] * 3
    figure = plot_mistakes(rng.random((40, 8, 8, 3)), np.zeros(40), np.eye(3)[[1] * 40], names)
    figure.canvas.draw()
    boxes = [axes.texts[0].get_window_extent() for axes in figure.axes]
    assert len(boxes) == 16
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert min(box.y0 for box in boxes) >= 0


def test_lengths_must_agree():
    images, labels, probabilities, names = sample()
    with pytest.raises(ValueError, match=r"Received: labels\.shape=\(4,\)"):
        plot_mistakes(images, labels[1:], probabilities, names)
    with pytest.raises(ValueError, match=r"probabilities\.shape=\(5, 3\)"):
        plot_mistakes(images, labels, probabilities, names[:2])
