"""Any record of a set of TFRecord files at once, by an index of where each one begins.

A TFRecord file can only be read from front to back, unless one knows the offsets. They are
found once, by going from length to length, and kept beside the data (or, where that can't
be written, in ~/.cache/tfcnns) as `NAME.offsets.npz`. A file whose size or time of change
isn't the one in the index is gone through again.
"""

import contextlib
import hashlib
import os
import pathlib
import struct
import zipfile

import numpy as np
import tensorflow as tf

from tfcnns.errors import UserError

from .attempt import first_of
from .source import on_cpu

FRAME = 16  # bytes around a record: its length, 8, and two checksums of 4


def open_tfrecords(paths, index):
    """Random access to the records of TFRecord files, as if they were one file.

    Args:
        paths: the files, uncompressed, on a local disk.
        index: path of the file to keep the offsets in; it need not be there, and its
            folder need not be writable.

    Returns: read, a function for use inside tf.data of an int64 scalar, to the record and
        its name for errors, both string (), which raises UserError's text if a checksum is
        wrong; and counts, how many records each file has.
    Raises: UserError, naming the file, if one isn't such a file or is cut off.
    """
    offsets = record_offsets(paths, index)
    counts = [len(found) for found in offsets]
    ends = [
        np.append(found[1:], os.path.getsize(path))
        for path, found in zip(paths, offsets, strict=True)
    ]
    files = on_cpu([os.fspath(path) for path in paths])
    file_of = on_cpu(np.repeat(np.arange(len(counts)), counts))
    first_of_file = on_cpu(np.cumsum([0, *counts[:-1]]))
    begins, ends = on_cpu(np.concatenate(offsets)), on_cpu(np.concatenate(ends))

    def read(index):
        number = file_of[index]
        place = tf.strings.as_string(index - first_of_file[number])
        name = tf.strings.join([files[number], ", record ", place])
        record = tf.raw_ops.TFRecordDatasetV2(
            filenames=files[number][None],
            compression_type="",
            buffer_size=ends[index] - begins[index],
            byte_offsets=begins[index][None],
        )
        record = tf.data.experimental.from_variant(record, tf.TensorSpec([], tf.string))
        damaged = tf.data.Dataset.from_tensors(name).map(_refuse)
        return first_of(record, damaged), name

    return read, counts


def record_offsets(paths, index):
    """For each TFRecord file int64 (n,), where its n records begin, from the index or anew."""
    places = [pathlib.Path(index), cache_place(index)]
    known = [_load(place) for place in places]
    offsets, entries = [], []
    for path in paths:
        status = os.stat(path)
        entries.append((os.path.basename(path), (status.st_size, status.st_mtime_ns)))
        found = next((kept[entries[-1]] for kept in known if entries[-1] in kept), None)
        offsets.append(_scan(path, status.st_size) if found is None else found)
    if not any(kept.keys() >= set(entries) for kept in known):
        _save(places, entries, offsets)
    return offsets


def _scan(path, size):
    """Goes through a file from length to length."""
    offsets = []
    position = 0
    with open(path, "rb") as file:
        while position < size:
            header = os.pread(file.fileno(), 8, position)
            offsets.append(position)
            position += struct.unpack("<Q", header.ljust(8, b"\xff"))[0] + FRAME
    if position != size:
        raise UserError(
            f"{path} isn't an uncompressed TFRecord file, or is cut off: what begins at byte "
            f"{offsets[-1]:,} would end beyond its {size:,} bytes"
        )
    return np.array(offsets, np.int64)


def cache_place(index):
    """Where the index is kept if its own folder can't be written."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    index = pathlib.Path(index).absolute()
    folder = hashlib.sha256(os.fsencode(index.parent)).hexdigest()[:16]
    return pathlib.Path(root).expanduser() / "tfcnns" / folder / index.name


def _load(place):
    """{(name of a file, (size, time of change)): offsets}; {} if there is no index to use."""
    try:
        with np.load(place, allow_pickle=False) as kept:
            parts = np.split(kept["offsets"], np.cumsum(kept["counts"])[:-1])
            stamps = map(tuple, kept["stamps"].tolist())
            return dict(zip(zip(kept["names"].tolist(), stamps, strict=True), parts, strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _save(places, entries, offsets):
    """In the first place that can be written; nobody ever sees half an index."""
    names, stamps = zip(*entries, strict=True)
    for place in places:
        begun = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(begun, "wb") as file:
                np.savez(
                    file,
                    names=names,
                    stamps=np.array(stamps, np.int64),
                    counts=[len(found) for found in offsets],
                    offsets=np.concatenate(offsets),
                )
            os.replace(begun, place)
            return
        except OSError:
            with contextlib.suppress(OSError):
                begun.unlink()


def _refuse(name):
    def refuse(name):
        raise UserError(f"{os.fsdecode(name)} is damaged: its checksum is wrong")

    return tf.ensure_shape(tf.numpy_function(refuse, [name], tf.string), [])
