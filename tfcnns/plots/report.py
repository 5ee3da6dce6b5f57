"""Figures as files, and the report of a run: one HTML page that needs nothing else."""

import base64
import html
import io
import os
from pathlib import Path

from PIL import Image

from tfcnns.files import write_whole

from . import DPI, house_style

_SOFTWARE = "tfcnns"  # the text of that name in its PNG files

_CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --page: #f6f8fa; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #a3acb6; --line: #3a424c; --page: #14181d; --link: #7ab8ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1rem 3rem; max-width: 1000px; color: var(--ink);
  background: var(--page); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { margin: 0 0 1rem; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.3rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0 0 1.5rem; padding: 0;
  list-style: none; }
a { color: var(--link); }
table { border-collapse: collapse; }
caption { padding-bottom: .35rem; text-align: left; color: var(--soft); }
th, td { padding: .3rem 1.5rem .3rem 0; border-top: 1px solid var(--line); text-align: left;
  vertical-align: top; font-weight: normal; font-variant-numeric: tabular-nums; }
th { color: var(--soft); white-space: nowrap; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; border-radius: 6px;
  box-shadow: 0 0 0 1px var(--line); }
figcaption { margin-top: .6rem; max-width: 46rem; }
@media print { nav { display: none; } section { break-inside: avoid; } }
"""


def write_report(path, title, sections, facts, links=(), files=()):
    """Writes one self-contained HTML page, whole or not at all.

    The same arguments give the same bytes. A figure's alt text is its label, or the
    section's sentence if it has none.

    Args:
        path: the file; folders above it are made.
        title: heading of the page.
        sections: a list of (heading, sentence, Figure).
        facts: a dict of label -> value, both shown as `str` gives them.
        links: a list of (text, address), other pages to go to.
        files: what `save_figures` returned for the same figures; linked below each.

    Returns:
        The path, as a Path.
    """
    escape = html.escape
    targets = [(heading, f"#section-{i}") for i, (heading, _, _) in enumerate(sections, 1)]
    links = "\n".join(
        f'<li><a href="{escape(target)}">{escape(text)}</a></li>'
        for text, target in [*targets, *links]
    )
    rows = "\n".join(
        f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>'
        for k, v in facts.items()
    )
    path = Path(path)
    addresses = [os.path.relpath(file, path.parent) for file in files]
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>",
        f"<header>\n<h1>{escape(title)}</h1>",
        f'<nav aria-label="Sections">\n<ul>\n{links}\n</ul>\n</nav>' if links else "",
        "</header>\n<main>",
        f"<table>\n<caption>Facts of the run</caption>\n{rows}\n</table>" if facts else "",
        *(
            _section(i, *section, addresses[2 * i - 2 : 2 * i])
            for i, section in enumerate(sections, 1)
        ),
        "</main>\n</body>\n</html>\n",
    ]
    return _write(path, "\n".join(part for part in parts if part).encode())


def save_figures(figures, folder):
    """Saves each Figure of a dict name -> Figure as name.png and name.svg; returns the paths."""
    paths = []
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            paths.append(_write(Path(folder) / f"{name}.{kind}", _render(figure, kind)))
    return paths


def save_picture(figure, path):
    """Saves a Figure as a PNG file; returns the path."""
    return _write(Path(path), _render(figure, "png"))


def is_ours(path):
    """Whether the file at `path` is a picture that this package has drawn."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return picture.info.get("Software") == _SOFTWARE
    except (OSError, ValueError, SyntaxError):
        return False


def _section(number, heading, sentence, figure, files):
    width, height = (round(inches * DPI) for inches in figure.get_size_inches())
    data = base64.b64encode(_render(figure, "png")).decode()
    alt = html.escape(figure.get_label() or sentence)
    links = "".join(
        f' <a href="{html.escape(file)}">{Path(file).suffix[1:].upper()}</a>' for file in files
    )
    return (
        f'<section id="section-{number}">\n<h2>{html.escape(heading)}</h2>\n<figure>\n'
        f'<img width="{width}" height="{height}" alt="{alt}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{html.escape(sentence)}{links}</figcaption>\n</figure>\n</section>"
    )


def _render(figure, kind):
    """The figure as the bytes of a file, twice as fine as it is shown, without a date."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": _SOFTWARE}
    with house_style():
        figure.savefig(buffer, format=kind, dpi=2 * DPI, metadata=metadata)
    return buffer.getvalue()


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    return path
