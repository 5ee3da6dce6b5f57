"""Memory that was freed serves again, instead of being asked of the system anew."""

import json
import os
import pathlib
import platform
import subprocess
import sys

import pytest

from tfcnns.training import freed_memory

ROOT = pathlib.Path(__file__).parents[1]

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")

# Pages that the system had to hand out while a block of 100 MB was filled for the fourth time.
PAGES = """
import ctypes, json, resource, sys
from tfcnns.training import freed_memory
kept = sys.argv[1] == "keep" and freed_memory.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(100 << 20)
    libc.memset(block, 1, 100 << 20)
    libc.free(block)
pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([kept, pages * resource.getpagesize()]))
"""


def bytes_asked(what):
    unset = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_TUN"))}
    command = [sys.executable, "-c", PAGES, what]
    ran = subprocess.run(command, cwd=ROOT, env=unset, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@glibc
def test_freed_memory_serves_again():
    kept, asked = bytes_asked("leave")
    assert not kept
    if asked < 90 << 20:
        pytest.skip("the system hands out huge pages, which hides the difference")
    kept, asked = bytes_asked("keep")
    assert kept
    assert asked < 1 << 20


@pytest.mark.parametrize(
    "environment", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}]
)
def test_what_the_user_has_chosen_stays(environment):
    assert not freed_memory.keep_freed_memory(environment)


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert not freed_memory.keep_freed_memory({})
