"""Memory of what reads images, as peak of processes of their own."""

import pytest

from benchmarks import memory

SIDE = 4000
# What is promised. One process differs from another by up to 20 MB, 1.2 bytes for each of these
# 16 million pixels; 6 to 7 are needed for colours, 11 for colours with an alpha channel.
BYTES = 12
# matplotlib's own for a drawing of 1,800 x 1,800 pixels from a picture of 2,000 x 2,000, measured:
# 350 MB, however large the image was. That of a small image takes less.
DRAWING = {"detect": 400e6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    memory.make_models(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ("predict", "png"),
        ("features", "lying.jpg"),
        ("detect", "png"),
        ("serve_image_bytes", "png"),
        ("four to serve_image_bytes", "png"),
    ],
)
def test_memory_for_each_pixel(folder, entry, kind):
    least, most = (
        memory.peak(entry, folder, memory.make_image(folder, side, kind)) for side in (64, SIDE)
    )
    pixels = SIDE**2 * (4 if "four" in entry else 1)
    assert most - least <= BYTES * pixels + DRAWING.get(entry, 0)
    assert most - least >= pixels  # it was read: grey at least
