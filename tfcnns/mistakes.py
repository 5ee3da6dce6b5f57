"""Which errors are no bugs: what a script tells the user of them, in one line."""

import builtins
import errno
import os
import re
import sys

from tfcnns.errors import UserError

_OF_FILES = (
    "DataLossError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnavailableError",
)

_OF_SYSTEM = {os.strerror(number) for number in errno.errorcode}  # "PATH; No such file"


def mistake(error):
    """What to tell of an error that comes from what the user gave, or from the machine.

    That is a UserError, also one met inside tf.data, which TensorFlow wraps; an OSError; and
    TensorFlow's own about files, memory, labels, or met while it reads the data.

    Returns: one line; None for a bug, which is to keep its traceback.
    """
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    wrapped = re.search(r"UserError: (.+)", str(error))
    if wrapped:
        return wrapped[1].strip()
    if isinstance(error, OSError):
        return _of_system(error)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(error, tensorflow.errors.OpError):
        return _of_tensorflow(error)
    return None


def tried(name, function, *arguments):
    """What a function returns, or a UserError that names what it was for, and isn't raised."""
    try:
        return function(*arguments)
    except Exception as error:
        said = mistake(error)
        if said is None:
            raise
        return UserError(said if str(name) in said else f"{name}: {said}")


def _of_system(error):
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    said = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{' -> '.join(map(os.fsdecode, names))}: {said}" if names else said


def _of_tensorflow(error):
    message = error.message
    reading = "IteratorGetNext" in message
    before, in_python, _ = message.partition("\nTraceback (most recent call last)")
    if in_python:  # a function of Python inside tf.data
        found = re.search(r"\b(\w+Error): (.+)$", before)
        kind = getattr(builtins, found[1], None) if found else None
        return found[2] if kind and issubclass(kind, OSError) else None
    text = re.split(r"\s\[\[|\s?\[Op:", message)[0]
    text = re.sub(r"^\{\{.*?\}\} |Error in user-defined function .*? iterator: [^ ]+: ", "", text)
    said = text.strip().splitlines()[-1].strip()
    of_files = type(error).__name__ in _OF_FILES or said.partition("; ")[2] in _OF_SYSTEM
    of_names = said.endswith("is not a directory")
    if not (reading or of_files or of_names or "label value" in said):
        return None
    return f"reading the data: {said}" if reading else said
