"""How a camera was held: the mark that says so, and pixels and boxes turned by it.

One rule for all that reads images, the exported graphs included. The mark is Exif's, a number
from 1, upright, to 8, in the first directory of a JPEG's first Exif segment, wherever that is, or
of a PNG's eXIf chunk before its pixels; WebP and TIFF have the same directory, see `by_pillow`.
It counts as a short or a long integer. What XMP says of orientation doesn't count: viewers don't
look there either.
"""

import numpy as np
import tensorflow as tf

TAG, SHORT, LONG = 0x0112, 3, 4
EXIF = b"Exif\0\0"
JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"


# Traced once: it is a long graph.
@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def orientation(data):
    """The mark of a JPEG or PNG file, int32 (), 1 to 8; 1 where there is none.

    data: string (), its bytes.
    """
    # Most photographs of data sets have no Exif, which is found out in a quarter of the time.
    exif = tf.strings.regex_full_match(data, r"\C*?Exif\x00\x00\C*")
    start = tf.case(
        [
            (is_jpeg(data) & exif, lambda: _exif_of_jpeg(data)),
            (is_png(data), lambda: _exif_of_png(data)),
        ],
        lambda: 0,
    )
    return tf.cond(start > 0, lambda: mark_in(data, start), lambda: 1)


def mark_in(data, start=0):
    """The mark in the directory of TIFF's form that begins at byte `start`, int32 (), 1 to 8."""
    start, end = tf.cast(start, tf.int64), tf.cast(tf.strings.length(data), tf.int64)

    def at(position, count):
        return tf.cast(_bytes(data, position, count), tf.int64)

    def whole(digits):
        """Bytes (..., n) as numbers."""
        digits = tf.where(order == b"II*\0", tf.reverse(digits, [-1]), digits)
        places = [1 << 8 * place for place in reversed(range(digits.shape[-1]))]
        return tf.reduce_sum(digits * places, -1)

    def number(position, count):
        return whole(tf.ensure_shape(at(position, count), [count]))

    def found(position):
        entries = tf.minimum(number(position, 2), (end - position - 2) // 12)
        table = tf.reshape(at(position + 2, 12 * entries), [-1, 12])
        kind = whole(table[:, 2:4])
        marks = tf.where(kind == LONG, whole(table[:, 8:12]), whole(table[:, 8:10]))
        known = ((kind == SHORT) | (kind == LONG)) & (marks >= 1) & (marks <= 8)
        marks = tf.where(known, marks, 1)[whole(table[:, :2]) == TAG]
        return tf.cast(tf.concat([marks, [1]], 0)[0], tf.int32)

    def directory():
        position = start + number(start + 4, 4)
        inside = (position >= start + 8) & (position <= end - 2)
        return tf.cond(inside, lambda: found(position), lambda: 1)

    order = tf.strings.substr(data, tf.minimum(start, end), 4)
    known = (order == b"II*\0") | (order == b"MM\0*")
    return tf.cond(known & (start <= end - 8), directory, lambda: 1)


def is_jpeg(data):
    """Whether bytes begin as those of a JPEG do."""
    return tf.strings.substr(data, 0, len(JPEG_START)) == JPEG_START


def is_png(data):
    """Whether bytes begin as those of a PNG, and may hold a chunk."""
    start = tf.strings.substr(data, 0, len(PNG_START))
    return (start == PNG_START) & (tf.strings.length(data) >= 16)


def png_chunk(data, kinds):
    """Where the first chunk of some kinds, four bytes each, begins in a PNG, and its kind.

    int32 () and string (); without such a chunk, some place near the end and what is there.
    """
    last = tf.strings.length(data) - 8  # where a chunk may begin; one that is cut off may lead on

    def kind(position):
        return tf.strings.substr(data, tf.clip_by_value(position, 0, last) + 4, 4)

    def more(position):
        return (position <= last) & ~tf.reduce_any(kind(position) == tf.constant(kinds))

    def after(position):
        length = tf.io.decode_raw(tf.strings.substr(data, position, 4), tf.int32, False)[0]
        length = tf.clip_by_value(length, 0, last)
        return (position + 12 + length,)  # its length, kind and checksum

    (position,) = tf.while_loop(more, after, [tf.constant(8)])
    return position, kind(position)


def upright(image, mark):
    """An image as stored, uint8 (H, W, C), turned as its mark says."""
    mark = tf.convert_to_tensor(mark)

    def turned():
        lying = tf.cond(mark >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        rows, columns = (tf.reduce_any(mark == of) for of in ([3, 4, 7, 8], [2, 3, 6, 7]))
        return tf.reverse(lying, tf.where([rows, columns])[:, 0])

    return tf.cond(mark > 1, turned, lambda: image)


def upright_shape(shape, mark):
    """Height and width as decoded, of those as stored."""
    return tuple(shape[::-1]) if mark >= 5 else tuple(shape)


def upright_boxes(boxes, mark):
    """Boxes on the image as stored, relative (N, 4) y0, x0, y1, x1, on the image as decoded."""
    y0, x0, y1, x1 = np.asarray(boxes).reshape(-1, 4).T
    if mark in (5, 6, 7, 8):
        y0, x0, y1, x1 = x0, y0, x1, y1
    if mark in (3, 4, 7, 8):
        y0, y1 = 1 - y1, 1 - y0
    if mark in (2, 3, 6, 7):
        x0, x1 = 1 - x1, 1 - x0
    return np.stack([y0, x0, y1, x1], axis=1)


def _exif_of_jpeg(data):
    """Where the directory in a JPEG's first Exif segment begins; 0 if there is none."""
    last = tf.strings.length(data) - 10  # room for a segment's head and the word Exif

    def more(position, start):
        return (position <= last) & (start == 0)

    def after(position, start):
        head = tf.ensure_shape(_bytes(data, position, 4), [4])
        kind = head[1]
        is_exif = (kind == 0xE1) & (tf.strings.substr(data, position + 4, len(EXIF)) == EXIF)
        # A filling byte, and what has no length. Then no more segments: the scan, the end, or
        # something else.
        length = tf.where(kind == 0xFF, 1, 2 + head[2] * 256 + head[3])
        length = tf.where((kind == 0x01) | ((kind >= 0xD0) & (kind <= 0xD8)), 2, length)
        over = (head[0] != 0xFF) | (kind == 0xDA) | (kind == 0xD9)
        start = tf.where(is_exif & ~over, position + 4 + len(EXIF), 0)
        return tf.where(over, last + 1, position + length), start

    return tf.while_loop(more, after, (2, 0))[1]


def _exif_of_png(data):
    """As `_exif_of_jpeg`, of the chunk eXIf before the pixels."""

    position, kind = png_chunk(data, [b"eXIf", b"IDAT"])
    return tf.where(kind == b"eXIf", position + 8, 0)


def _bytes(data, position, count):
    """int32 (count,), from inside the data."""
    return tf.cast(tf.io.decode_raw(tf.strings.substr(data, position, count), tf.uint8), tf.int32)
