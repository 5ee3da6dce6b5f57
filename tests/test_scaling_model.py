"""The model of docs/scaling.md: its formula by hand, and its tables as the script prints them."""

import pathlib
import shlex
import subprocess
import sys

import pytest

from benchmarks.scaling_model import exchange, steps, useful_gpus

ROOT = pathlib.Path(__file__).parents[1]


def test_a_ring_of_four_by_hand():
    # 8 MB in four pieces of 2; each travels six times at 1 GB/s, and each time waits 1 ms.
    assert exchange(4, 8e6, 1e9, 1e-3) == pytest.approx(6 * (2e-3 + 1e-3))
    assert exchange(1, 8e6, 1e9, 1e-3) == 0


def test_steps_with_all_overlap_and_none():
    assert steps(100, 1000, 0.04) == pytest.approx((0.1, 0.14))
    assert steps(100, 1000, 0.4) == pytest.approx((0.4, 0.5))
    gpus = useful_gpus(8192, 1000, 0.04)
    assert 8192 / gpus / 1000 == pytest.approx(0.04)


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--bytes_per_number=2",
        "--parameters=966986 --images_per_second=10000",
        "--images_per_second=26000 --link_gbytes=450 --node_gbytes=400",
    ],
)
def test_the_tables_of_the_docs_are_what_the_script_prints(flags):
    docs = (ROOT / "docs" / "scaling.md").read_text()
    assert flags in docs
    script = [sys.executable, str(ROOT / "benchmarks" / "scaling_model.py"), *shlex.split(flags)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    _, *table, _ = said.splitlines()
    assert len(table) == 5
    assert "\n".join(table) in docs
