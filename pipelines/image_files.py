"""Which files of a folder are images, by their names, and what is said of the others."""

import collections
import functools
import logging
import os

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif"),
    *(".bmp", ".webp", ".tif", ".tiff"),
)

PLURAL = ("folder", "folder link", "broken link", "special file")  # in words that need an s


def images_in(folder, deep=False, but=None):
    """Paths of the images in a folder, in order of names, and how many of what else it holds.

    Hidden files and folders are passed over without a word.

    Args:
        folder: its path.
        deep: whether images in its subfolders count too; links to folders aren't followed.
        but: the path of a subfolder that is passed over, or None.

    Returns: a list of str; a `collections.Counter` of reasons in words.
    Raises: OSError.
    """
    files, left_out = [], collections.Counter()
    with os.scandir(folder) as entries:
        entries = sorted(entries, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith(".") or (but and os.path.abspath(entry) == os.path.abspath(but)):
            continue
        if deep and entry.is_dir(follow_symlinks=False):
            more, others = images_in(entry.path, deep, but)
            files += more
            left_out += others
            continue
        reason = _reason(entry)
        if reason:
            left_out[reason] += 1
        else:
            files.append(entry.path)
    return files, left_out


def _reason(entry):
    """Why an entry of a folder isn't an image; None if it is one."""
    ending = os.path.splitext(entry.name)[1].lower()
    if entry.is_dir():
        return "folder link" if entry.is_symlink() else "folder"
    if ending not in ENDINGS:
        return printable(ending) or "of no ending"
    if not entry.is_file():
        return "broken link" if entry.is_symlink() else "special file"
    return None


def told(left_out):
    """What was left out in words: "3 .avif, 2 broken links"; the most first."""
    found = left_out.most_common()
    kinds = [
        f"{count:,} {reason}{'s' * (count > 1 and reason in PLURAL)}" for reason, count in found
    ]
    return ", ".join(kinds)


@functools.cache  # train and validation images lie in the same folder: a line for both
def warn(line):
    """One line in the log, once in a process."""
    logging.getLogger(__name__).warning(line)


def printable(path):
    """A path as text; bytes of it that aren't UTF-8 come as \\xff, so that it can be printed."""
    return os.fsencode(path).decode(errors="backslashreplace")
