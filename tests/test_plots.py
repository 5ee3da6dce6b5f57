"""The house style of all plots: pictures, names, settings, silence."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from tfcnns.plots import as_pictures, house_style, new_figure, short_name


def test_bytes_become_floats():
    images = np.array([[[0, 255], [51, 102]]], dtype="uint8")
    np.testing.assert_allclose(as_pictures(images), [[[0, 1], [0.2, 0.4]]], rtol=1e-6)


def test_floats_between_0_and_1_stay():
    images = np.array([[[0.25, 0.5]]], dtype="float32")
    np.testing.assert_array_equal(as_pictures(images), images)


def test_other_floats_are_stretched_image_by_image():
    images = np.array([[[-1.0, 0, 3]], [[10, 20, 30]], [[7, 7, 7]]])[..., None]
    expected = [[[0, 0.25, 1]], [[0, 0.5, 1]], [[0, 0, 0]]]
    np.testing.assert_allclose(as_pictures(images), expected)


def test_colours_of_an_image_are_stretched_together():
    image = np.array([[[[-2.0, 0, 2]]]])
    np.testing.assert_allclose(as_pictures(image), [[[[0, 0.5, 1]]]])


def test_pictures_of_what_is_not_finite():
    pictures = as_pictures(np.array([[[np.nan, np.inf, 2.0]]]))
    np.testing.assert_allclose(pictures, [[[0, 0, 1]]])
    assert as_pictures(np.zeros((0, 4, 4, 1))).shape == (0, 4, 4)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4, 2), (1, 1, 4, 4, 3)])
def test_pictures_of_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"Received: images\.shape="):
        as_pictures(np.zeros(shape))


def test_short_name():
    assert short_name("cat") == "cat"
    assert short_name(" two\nlines ") == "two lines"
    assert short_name("golden retriever", 8) == "golden …"
    assert len(short_name("x" * 99)) == 18


def test_neither_side_changes_the_other_s_settings():
    with matplotlib.rc_context({"font.size": 33, "figure.facecolor": "black"}):
        with house_style():
            text = new_figure(1).text(0, 0, "$x$")
        assert text.get_fontsize() == 10
        assert not text.get_parse_math()
        assert matplotlib.rcParams["font.size"] == 33


_FRESH = """
import sys, threading
class AtOnce:  # matplotlib notes that it builds the font cache when that takes 5 s
    def __init__(self, seconds, note): self.start, self.cancel = note, lambda: None
threading.Timer = AtOnce
if sys.argv[1] == "ours":
    import tfcnns.plots.curves
    assert "matplotlib.pyplot" not in sys.modules and "keras" not in sys.modules
import matplotlib.font_manager
"""


@pytest.mark.parametrize(("whose", "noisy"), [("ours", False), ("matplotlib's", True)])
def test_no_word_about_the_font_cache(tmp_path, whose, noisy):
    environment = dict(os.environ, MPLCONFIGDIR=str(tmp_path))
    command = [sys.executable, "-c", _FRESH, whose]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert ("font cache" in done.stderr) == noisy
    assert noisy or done.stderr == ""
