"""The report is one valid page that needs nothing else, and the same bytes each time."""

import base64
import io
import os
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tfcnns.plots import WIDTH
from tfcnns.plots.class_maps import plot_class_maps
from tfcnns.plots.confusion import plot_confusion
from tfcnns.plots.curves import plot_curves
from tfcnns.plots.mistakes import plot_mistakes
from tfcnns.plots.report import save_figures, write_report

_VOID = {"meta", "img", "link", "br", "hr", "input"}
_NASTY = "a <b> & \"c\" of 'd'"


class Page(HTMLParser):
    """The elements of a page as (tag, attributes, text); fails on one left open."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in _VOID:
            self.open.append(self.elements[-1])

    def handle_data(self, data):
        if self.open:
            self.open[-1][2] += data

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def all(self, tag):
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]


def figures():
    rng = np.random.default_rng(0)
    names = list("abc")
    images, maps = rng.random((6, 8, 8, 1)), rng.random((6, 4, 4, 3))
    labels, probabilities = np.arange(6) % 3, rng.dirichlet(np.ones(3), 6)
    return {
        "curves": plot_curves([{"epoch": i + 1, "loss": 1 / (i + 1)} for i in range(9)]),
        "confusion": plot_confusion(rng.integers(0, 9, (3, 3)), names),
        "mistakes": plot_mistakes(images, labels, probabilities, names),
        "class_maps": plot_class_maps(images, maps, labels, probabilities, names, count=2),
    }


@pytest.fixture(scope="module")
def drawn():
    return figures()


def test_page_holds_what_it_was_given(tmp_path, drawn):
    sections = [(f"{_NASTY} {name}", f"See {_NASTY}.", figure) for name, figure in drawn.items()]
    facts = {"test error in %": 1.25, _NASTY: "<script>", "seed": None}
    path = write_report(tmp_path / "new" / "report.html", _NASTY, sections, facts)
    text = path.read_text("utf-8")
    page = Page(text)
    assert [text for _, text in page.all("h1") + page.all("title")] == [_NASTY, _NASTY]
    assert [text for _, text in page.all("h2")] == [heading for heading, _, _ in sections]
    assert [text for _, text in page.all("figcaption")] == [f"See {_NASTY}."] * 4
    assert [attributes["alt"] for attributes, _ in page.all("img")] == [
        figure.get_label() for figure in drawn.values()
    ]
    assert [text for _, text in page.all("th")] == ["test error in %", _NASTY, "seed"]
    assert [text for _, text in page.all("td")] == ["1.25", "<script>", "None"]
    targets = [attributes["href"] for attributes, _ in page.all("a")]
    assert targets == [f"#{attributes['id']}" for attributes, _ in page.all("section")]
    assert page.all("html")[0][0] == {"lang": "en"}
    assert list(path.parent.iterdir()) == [path]


def test_page_needs_nothing_else(tmp_path, drawn):
    sections = [("Curves", "Falling.", drawn["curves"])]
    text = write_report(tmp_path / "report.html", "Run", sections, {}).read_text("utf-8")
    page = Page(text)
    assert not page.all("script") + page.all("link")
    for word in ("http:", "https:", "@import", "url(", "file:"):
        assert word not in text
    assert "prefers-color-scheme: dark" in text
    ((attributes, _),) = page.all("img")
    kind, data = attributes["src"].split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        shown = int(attributes["width"]), int(attributes["height"])
        assert image.size == (2 * shown[0], 2 * shown[1])
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert all(figure.get_size_inches()[0] <= WIDTH for figure in drawn.values())


def test_alt_text_without_a_label(tmp_path):
    figure = figures()["curves"]
    figure.set_label("")
    path = write_report(tmp_path / "report.html", "Run", [("Curves", "It falls.", figure)], {})
    ((attributes, _),) = Page(path.read_text("utf-8")).all("img")
    assert attributes["alt"] == "It falls."


def test_an_empty_report(tmp_path):
    page = Page(write_report(tmp_path / "report.html", "Nothing yet", [], {}).read_text("utf-8"))
    assert page.all("h1") == [({}, "Nothing yet")]
    assert not page.all("table") + page.all("nav")


def test_a_failure_leaves_the_old_report(tmp_path, monkeypatch):
    path = write_report(tmp_path / "report.html", "Old", [], {})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_report(path, "New", [], {})
    assert "Old" in path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_the_page_links_the_files_of_its_figures(tmp_path, drawn):
    sections = [(name, "See.", figure) for name, figure in drawn.items()]
    files = save_figures(drawn, tmp_path / "plots")
    path = write_report(tmp_path / "report.html", "Run", sections, {}, files=files)
    links = [(a["href"], text) for a, text in Page(path.read_text("utf-8")).all("a")]
    assert links[len(drawn) :] == [
        (f"plots/{name}.{kind}", kind.upper()) for name in drawn for kind in ("png", "svg")
    ]
    assert all((tmp_path / address).exists() for address, _ in links[len(drawn) :])


def test_files_of_figures(tmp_path, drawn):
    paths = save_figures(drawn, tmp_path / "plots")
    expected = [f"{name}.{kind}" for name in drawn for kind in ("png", "svg")]
    assert [path.name for path in paths] == expected
    assert sorted(tmp_path.glob("plots/*")) == sorted(paths)
    for path in paths:
        if path.suffix == ".svg":
            assert ElementTree.fromstring(path.read_bytes()).tag.endswith("svg")
            assert b"dc:date" not in path.read_bytes()
        else:
            with Image.open(path) as image:
                image.verify()


_AGAIN = """
import sys
sys.path[:0] = [sys.argv[1]]
from test_plots_report import everything
everything(sys.argv[2])
"""


def everything(folder):
    drawn = figures()
    save_figures(drawn, folder)
    sections = [(name, "A figure.", figure) for name, figure in drawn.items()]
    write_report(os.path.join(folder, "report.html"), "Run", sections, {"seed": 0})


def test_two_processes_write_the_same_bytes(tmp_path):
    everything(tmp_path / "here")
    command = [sys.executable, "-c", _AGAIN, os.path.dirname(__file__), str(tmp_path / "there")]
    environment = dict(os.environ, PYTHONHASHSEED="7", SOURCE_DATE_EPOCH="0")
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run(command, env=environment, check=True)
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert len(names) == 9
    for name in names:
        here, there = (tmp_path / where / name for where in ("here", "there"))
        assert here.read_bytes() == there.read_bytes(), name
