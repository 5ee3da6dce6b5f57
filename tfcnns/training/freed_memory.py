"""What the C library does with memory that a process frees."""

import ctypes
import os
import platform

# Parameters of glibc's mallopt(3), by the numbers that malloc.h gives them.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory(environment=os.environ):
    """Has this process keep the memory that it frees for its next blocks.

    glibc gives large blocks back to the system when they are freed, which hands out new ones
    page by page and fills each with zeros. Between workers on CPUs gradients arrive in such
    blocks, and of the processor time that AlexNet's take a third went there
    (docs/scaling.md). In return the process stays as large as it has ever been.

    Does nothing with another C library, or where the user has chosen, by GLIBC_TUNABLES or by
    MALLOC_TRIM_THRESHOLD_ and the like.

    Returns:
        Whether it was done.
    """
    chosen = any(name.startswith("MALLOC_") for name in environment)
    chosen = chosen or "glibc.malloc" in environment.get("GLIBC_TUNABLES", "")
    if chosen or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 64 << 20))
    return all(mallopt(*setting) == 1 for setting in settings)
