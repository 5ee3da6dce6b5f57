"""Files that are there whole or not at all, and what a process that was killed leaves of them."""

import contextlib
import os
import pathlib
import re
import shutil

from tfcnns.errors import UserError

_TEMPORARY = re.compile(r"tmp-(\d+)(-|$)")
_LONGEST = 50  # characters of a file's name in that of its temporary: names end at 255 bytes


def temporary_name(name=""):
    """What a file or folder is called until it is whole; this process' own, with its endings."""
    return f"tmp-{os.getpid()}-{name[-_LONGEST:]}" if name else f"tmp-{os.getpid()}"


def write_whole(file, data):
    """Writes bytes so that `file` is always the old or the new whole, never a part."""
    file = pathlib.Path(file)
    with whole(file) as temporary, open(temporary, "wb") as out:
        out.write(data)


@contextlib.contextmanager
def whole(file):
    """Yields a temporary path beside `file`; what is written there becomes `file`.

    The data reaches the disk before the name does, so that neither a killed process nor a
    lost machine leaves half a file. The temporary name keeps the endings of `file`.
    """
    file = pathlib.Path(file)
    temporary = file.with_name(temporary_name(file.name))
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, file)
        flush(file.parent)
    except OSError as error:  # of a full disk knows no name, others that of the temporary
        if error.errno is not None:  # others, such as h5py's, have their text only
            error.filename, error.filename2 = str(file), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def flush(path):
    """Waits until a file's data, or a directory's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def left_behind(folder, of=None):
    """The temporary files and folders in a folder whose process, on this machine, is gone.

    Args:
        folder: where; it may be missing.
        of: names of files; None for those of any.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return []
    ends = None if of is None else {name[-_LONGEST:] for name in of}
    found = [(path, _TEMPORARY.match(path.name)) for path in folder.iterdir()]
    found = [(path, match) for path, match in found if match and not _lives(int(match[1]))]
    return [path for path, match in found if ends is None or path.name[match.end() :] in ends]


def sweep(folder, of=None):
    """Removes what processes that were killed have left; `of` where not all in it is ours."""
    for path in left_behind(folder, of):
        remove(path)


def remove(path):
    """Removes a file, a link, or a folder with all in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_can_write(path, flag="--out"):
    """Raises UserError if no file or folder can be made at `path`; leaves nothing behind.

    What `flag` names may be there already, and so may some of the folders above it.
    """
    path = pathlib.Path(path)
    try:
        above = next(folder for folder in (path, *path.parents) if folder.exists())
        if above != path and not above.is_dir():
            raise UserError(f"{flag}={path}: {above} is a file, expected a directory")
        longest = os.pathconf(above, "PC_NAME_MAX")
        for name in path.relative_to(above).parts:
            if len(os.fsencode(name)) > longest:
                raise UserError(f"{flag}={path}: a name has at most {longest} bytes")
        # A file is replaced, which takes its folder, and left alone if it is protected.
        for needed in [above] if above.is_dir() else [above, above.parent]:
            _check_access(needed, f"{flag}={path} can't be written to")
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise UserError(f"{flag}={path} can't be written to: {error.strerror}") from error


def _check_access(path, said):
    needed = os.W_OK | (os.X_OK if path.is_dir() else 0)
    if not os.access(path, needed, effective_ids=os.access in os.supports_effective_ids):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        why = "Read-only file system" if read_only else "Permission denied"
        raise UserError(f"{said}: {path}: {why}")


def check_no_input(outputs, inputs, flag="--out"):
    """Raises UserError if writing one of `outputs` would replace one of `inputs`, by any name."""
    read = {_identity(path): path for path in inputs if os.path.exists(path)}
    for path in outputs:
        if os.path.exists(path) and _identity(path) in read:
            raise UserError(
                f"{path} would replace {read[_identity(path)]}, which is read: give another {flag}"
            )


def _identity(path):
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _lives(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's; no number of a process
        return True
    return True
