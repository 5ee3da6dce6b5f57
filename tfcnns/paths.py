"""Paths in a recipe's config: right wherever the script that reads them is started.

They are the values of "data_dir" and "from_run", and what follows "folder:" or "records:" in
any other. In run.json they are absolute, or relative to the run where they lie inside it, so
that a run can be moved with what it holds.
"""

import os
import pathlib

from tfcnns.errors import UserError

_NAMES = ("data_dir", "from_run")
_KINDS = ("folder", "records")


def absolute(config):
    """`config` with paths that were relative to the working directory, or to ~."""
    return _with_paths(config, lambda path: os.path.abspath(os.path.expanduser(path)))


def relative_inside(config, folder):
    """`config` with absolute paths, those below `folder` relative to it."""
    folder = pathlib.Path(os.path.abspath(folder))

    def change(path):
        return os.path.relpath(path, folder) if pathlib.Path(path).is_relative_to(folder) else path

    return _with_paths(absolute(config), change)


def from_inside(config, folder):
    """What `relative_inside` was given; paths that aren't there are left as they are."""

    def change(path):
        inside = os.path.abspath(os.path.join(folder, path))
        return inside if os.path.exists(inside) else path

    return _with_paths(config, change)


def require_utf8(path):
    """Raises UserError for the name of a file that TensorFlow, JSON and terminals can't hold."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UserError(f"{shown}: expected a name in UTF-8; rename the file") from error


def of(config):
    """The paths in a config, a list of (name, path)."""
    found = []
    for name in config:
        _with_paths({name: config[name]}, lambda path, name=name: found.append((name, path)))
    return found


def _with_paths(config, change):
    return {name: _changed(name, value, change) for name, value in config.items()}


def _changed(name, value, change):
    if not isinstance(value, str) or not value or "://" in value:  # gs://bucket
        return value
    if name in _NAMES:
        return change(value)
    kind, _, path = value.partition(":")
    return f"{kind}:{change(path)}" if kind in _KINDS and path else value
