"""Versions of an export: directories with a number, there whole or not at all."""

import contextlib
import os
import pathlib
import shutil

from tfcnns.errors import UserError
from tfcnns.files import check_can_write, flush, left_behind, remove, temporary_name


def next_version(out, version=None):
    """The number that an export gets: the given one, or the one after the largest there is.

    Raises: UserError if the given one is taken, or `out` isn't a directory.
    """
    out = pathlib.Path(out)
    check_can_write(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file, expected a directory")
    taken = versions(out)
    if version is None:
        return max(taken, default=0) + 1
    if version in taken:
        raise UserError(f"{out} holds version {version} already: give another --version")
    return version


def versions(out):
    """The numbers of the versions in a directory, which may not exist."""
    out = pathlib.Path(out)
    names = [entry.name for entry in out.iterdir()] if out.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


@contextlib.contextmanager
def version_directory(out, version):
    """Yields an empty directory beside the versions, which becomes `out`/`version` at the end.

    All in it reaches the disk before the name does. If the block fails, nothing is left.
    """
    out = pathlib.Path(out)
    for path in left_behind(out):
        if path.name.rpartition("-")[2].isdecimal():
            remove(path)
    temporary = out / temporary_name(str(version))
    try:
        made = [path for path in (out, *out.parents) if not path.exists()]
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--out={out} can't be written to: {error.strerror}") from error
    try:
        yield temporary
        for folder, _, files in os.walk(temporary, topdown=False):
            for name in files:
                flush(os.path.join(folder, name))
            flush(folder)
        try:
            os.rename(temporary, out / str(version))
        except OSError as error:
            raise UserError(f"{out}/{version} appeared in the meantime; try again") from error
        flush(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in made:
            with contextlib.suppress(OSError):  # others may have put something there
                path.rmdir()
        raise
