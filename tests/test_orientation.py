"""The mark of how a camera was held: found wherever it lies, and followed alike by all readers."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from tfcnns.pipelines import images, jpeg
from tfcnns.pipelines.orientation import mark_in, orientation, upright, upright_boxes
from tfcnns.pipelines.served import Served
from tfcnns.pipelines.source import Encoded

PHOTOGRAPH = Image.fromarray(load_sample_image("flower.jpg")).resize((60, 40))
SHORT, LONG, ASCII = 3, 4, 2


def encode(form="JPEG", **options):
    buffer = io.BytesIO()
    PHOTOGRAPH.save(buffer, form, **options)
    return buffer.getvalue()


def directory(*entries, order="<", offset=8):
    """A directory in TIFF's form; entries: (tag, kind, value)."""
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", offset)
    data += bytes(offset - 8) + struct.pack(order + "H", len(entries))
    for tag, kind, value in entries:
        form = "I" if kind == LONG else "H2x"
        data += struct.pack(order + "HHI" + form, tag, kind, 1, value)
    return data + bytes(4)


def segment(kind, body):
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PLAIN = encode()
MAKER = (0x010F, ASCII, 0)
SIX = directory(MAKER, (0x0112, SHORT, 6))
EXIF = segment(0xE1, b"Exif\0\0" + SIX)
ICC = segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000))
XMP = segment(
    0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='8' tiff:Orientation=\"8\"/>"
)


def photo(*segments, after=PLAIN[2:]):
    return PLAIN[:2] + b"".join(segments) + after


def exif(*entries, **options):
    return photo(segment(0xE1, b"Exif\0\0" + directory(*entries, **options)))


def phone():
    """A picture and a smaller one after it, as in phones' files."""
    mark = Image.Exif()
    mark[0x0112] = 6
    small = PHOTOGRAPH.resize((30, 20))
    return encode("MPO", save_all=True, append_images=[small], exif=mark)


PNG = encode("PNG")
MARKS = {
    "none": (PLAIN, 1),
    "first": (photo(EXIF), 6),
    "after a profile": (photo(ICC, EXIF), 6),
    "after many": (photo(*[ICC] * 5, XMP, segment(0xFE, b"by hand"), EXIF), 6),
    "after XMP that says otherwise": (photo(XMP, EXIF), 6),
    "in XMP alone": (photo(XMP), 1),
    "after the tables": (PLAIN[:2] + PLAIN[2:20] + EXIF + PLAIN[20:], 6),
    "filling bytes": (photo(b"\xff\xff\xff" + EXIF), 6),
    "first of two": (photo(EXIF, segment(0xE1, b"Exif\0\0" + directory((0x0112, SHORT, 3)))), 6),
    "as a long": (exif((0x0112, LONG, 6)), 6),
    "as a long, big-endian": (exif((0x0112, LONG, 6), order=">"), 6),
    "big-endian": (exif(MAKER, (0x0112, SHORT, 8), order=">"), 8),
    "as text": (exif((0x0112, ASCII, 6)), 1),
    "a directory further on": (exif(MAKER, (0x0112, SHORT, 7), offset=300), 7),
    "out of range": (exif((0x0112, SHORT, 9)), 1),
    "zero": (exif((0x0112, SHORT, 0)), 1),
    "of a phone": (phone(), 6),
    "in a comment": (photo(segment(0xFE, b"Exif\0\0" + SIX)), 1),
    "in a comment, and then": (photo(segment(0xFE, b"Exif\0\0" + SIX), EXIF), 6),
    "beyond the end": (photo(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f\0\0")), 1),
    "no directory": (photo(segment(0xE1, b"Exif\0\0")), 1),
    "of a PNG": (PNG[:33] + chunk(b"eXIf", SIX) + PNG[33:], 6),
    "of a PNG, later": (PNG[:33] + chunk(b"tEXt", bytes(9000)) + chunk(b"eXIf", SIX) + PNG[33:], 6),
    "of a PNG, none": (PNG, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", MARKS)
def test_the_mark_is_found(name):
    data, expected = MARKS[name]
    assert int(orientation(data)) == expected
    assert images.read_header(data, name) == ((40, 60), expected)


@pytest.mark.parametrize("mark", range(1, 9))
def test_pixels_and_boxes_turn_together(mark):
    """From the standard's words: where the stored row 0 and column 0 are seen."""
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    seen = {
        1: [[0, 1, 2], [3, 4, 5]],  # top, left
        2: [[2, 1, 0], [5, 4, 3]],  # top, right
        3: [[5, 4, 3], [2, 1, 0]],  # bottom, right
        4: [[3, 4, 5], [0, 1, 2]],  # bottom, left
        5: [[0, 3], [1, 4], [2, 5]],  # left, top
        6: [[3, 0], [4, 1], [5, 2]],  # right, top
        7: [[5, 2], [4, 1], [3, 0]],  # right, bottom
        8: [[2, 5], [1, 4], [0, 3]],  # left, bottom
    }[mark]
    turned = upright(tf.constant(stored), tf.constant(mark)).numpy()
    np.testing.assert_array_equal(turned[..., 0], seen)
    for row in range(2):
        for column in range(3):
            box = np.float64([row / 2, column / 3, (row + 1) / 2, (column + 1) / 3])
            edges = upright_boxes(box, mark)[0] * [*turned.shape[:2], *turned.shape[:2]]
            y0, x0, y1, x1 = map(round, edges)
            inside = turned[y0:y1, x0:x1, 0]
            np.testing.assert_array_equal(inside, [stored[row, column]])


NAMES = ("after many", "as a long", "in XMP alone")
FILES = [MARKS[name][0] for name in NAMES]


def in_stream(view):
    names = [f"file {number}" for number in range(len(FILES))]
    files = tf.data.Dataset.from_tensor_slices((FILES, names))
    return [image.numpy() for image in files.map(lambda *file: view(Encoded(*file)))]


def in_graph(view):
    text = tf.TensorSpec((), tf.string)
    call = tf.function(lambda *file: view(Served(*file)), input_signature=[text, text])
    return [call(data, "x").numpy() for data in FILES]


READERS = {
    "scripts": lambda _: [images.decode(data) for data in FILES],
    "training": in_stream,
    "export": in_graph,
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_follows_the_mark(reader):
    """The stored pixels, TensorFlow's own, turned by NumPy as mark 6 says; XMP's isn't followed."""
    lying = tf.io.decode_jpeg(PLAIN).numpy()
    standing = np.rot90(lying, -1)
    expected = [standing, standing, lying]
    for found, whole in zip(READERS[reader](jpeg.decode), expected, strict=True):
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("reader", ["training", "export"])
def test_crops_follow_the_mark(reader):
    def crop(image):
        return jpeg.cover(image, (30, 20))

    lying = tf.io.decode_jpeg(PLAIN).numpy()
    standing = np.rot90(lying, -1)
    for found, whole in zip(READERS[reader](crop), [standing, standing, lying], strict=True):
        # The same sums in another order: a level where one is rounded the other way.
        assert np.abs(found.astype(int) - crop(whole)).max() <= 1


@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_other_files_have_marks_too(form):
    mark = Image.Exif()
    mark[0x0112] = 6
    options = {"lossless": True} if form == "WEBP" else {}
    found = images.decode(encode(form, exif=mark, **options))
    np.testing.assert_array_equal(found, np.rot90(np.asarray(PHOTOGRAPH), -1))
    xmp = b'<x tiff:Orientation="6"/>'
    if form == "TIFF":
        options["tiffinfo"] = {700: xmp}
    else:
        options["xmp"] = xmp
    np.testing.assert_array_equal(images.decode(encode(form, **options)), np.asarray(PHOTOGRAPH))


def test_no_bytes_bring_it_down():
    random = np.random.RandomState(0)
    for data in (photo(EXIF), exif(MAKER, (0x0112, SHORT, 8), order=">"), MARKS["of a PNG"][0]):
        for _ in range(60):
            damaged = bytearray(data)
            for place in random.randint(0, 120, 4):
                damaged[place] = random.randint(256)
            assert 1 <= int(orientation(bytes(damaged[: random.randint(len(data))]))) <= 8
    for length in range(len(SIX)):
        assert int(mark_in(SIX[:length])) == (6 if length >= 34 else 1)
