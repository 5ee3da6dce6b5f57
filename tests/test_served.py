"""Bytes decoded in a graph: the same pixels as in a recipe's test, and what is refused."""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from tfcnns.pipelines import images, jpeg
from tfcnns.pipelines.served import Served
from tfcnns.pipelines.source import Encoded

PHOTOGRAPH = Image.fromarray(load_sample_image("china.jpg")).resize((150, 110))


def encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    )


def rgba16():
    """A PNG with 16 bits a sample and an alpha channel, which Pillow can't write."""
    samples = np.random.RandomState(0).randint(0, 2**16, (20, 30, 4)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", 30, 20, 16, 6, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def alpha(mode):
    image = PHOTOGRAPH.convert(mode)
    image.putalpha(Image.linear_gradient("L").resize(PHOTOGRAPH.size))
    return image


def lying(mark):
    exif = Image.Exif()
    exif[0x0112] = mark
    return exif


GREY16 = Image.fromarray((np.arange(50 * 30) * 43).reshape(50, 30).astype("uint16"))
FILES = {
    "4:2:0": encode(PHOTOGRAPH, "JPEG", quality=90),
    "4:4:4": encode(PHOTOGRAPH, "JPEG", subsampling=0),
    "progressive": encode(PHOTOGRAPH, "JPEG", progressive=True),
    "grey JPEG": encode(PHOTOGRAPH.convert("L"), "JPEG"),
    "CMYK": encode(PHOTOGRAPH.convert("CMYK"), "JPEG"),
    "long": encode(PHOTOGRAPH.resize((900, 40)), "JPEG"),
    "PNG": encode(PHOTOGRAPH, "PNG"),
    "grey PNG": encode(PHOTOGRAPH.convert("L"), "PNG"),
    "palette": encode(PHOTOGRAPH.convert("P"), "PNG"),
    "palette, one colour transparent": encode(PHOTOGRAPH.convert("P"), "PNG", transparency=3),
    "grey, one level transparent": encode(PHOTOGRAPH.convert("L"), "PNG", transparency=100),
    "RGBA": encode(alpha("RGB"), "PNG"),
    "LA": encode(alpha("L"), "PNG"),
    "1 bit": encode(PHOTOGRAPH.convert("1"), "PNG"),
    "16 bits": encode(GREY16, "PNG"),
    "16 bits, alpha": rgba16(),
    "lying": encode(PHOTOGRAPH, "JPEG", exif=lying(6)),
    "mirrored": encode(PHOTOGRAPH, "JPEG", exif=lying(5)),
    "lying PNG": encode(alpha("RGB"), "PNG", exif=lying(8)),
}
VIEWS = {
    "whole": jpeg.decode,
    "whole, grey": lambda image: jpeg.decode(image, channels=1),
    "centre": lambda image: jpeg.center_crop(image, 40, short_side=48),
    "cover": lambda image: jpeg.cover(image, (24, 36)),
    "cover, grey": lambda image: jpeg.cover(image, (32, 32), channels=1),
}


@functools.cache
def in_graph(view):
    text = tf.TensorSpec((), tf.string)
    call = tf.function(lambda data, name: view(Served(data, name)), autograph=False)
    return call.get_concrete_function(text, text)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_pixels_are_those_of_the_recipes_test(view):
    names = tf.constant(list(FILES))
    files = tf.data.Dataset.from_tensor_slices((list(FILES.values()), names))
    tested = files.map(lambda data, name: view(Encoded(data, name))).as_numpy_iterator()
    served = in_graph(view)
    for name, data, expected in zip(FILES, FILES.values(), tested, strict=True):
        found = served(tf.constant(data), tf.constant(name)).numpy()
        np.testing.assert_array_equal(found, expected, err_msg=name)
        assert found.std() > 0, name


def test_the_whole_is_what_the_scripts_decode():
    served = in_graph(jpeg.decode)
    for name, data in FILES.items():
        found = served(tf.constant(data), tf.constant(name)).numpy()
        np.testing.assert_array_equal(found, images.decode(data), err_msg=name)


def test_cover_is_the_identity_on_its_own_size_and_never_leaves_a_gap():
    random = np.random.RandomState(0)
    image = random.randint(0, 256, (21, 34, 3)).astype("uint8")
    np.testing.assert_array_equal(jpeg.cover(image, (21, 34)), image)
    through_the_filter = jpeg.cover(tf.Variable(image, shape=(None, None, 3)), (21, 34))
    np.testing.assert_array_equal(through_the_filter, image)
    for height, width in random.randint(1, 300, (40, 2)):
        white = jpeg.cover(np.full((height, width, 1), 255, np.uint8), (16, 24))
        assert white.shape == (16, 24, 1)
        assert white.numpy().min() == 255, (height, width)


JPEG_BOMB = FILES["4:2:0"].replace(struct.pack(">HH", 110, 150), struct.pack(">HH", 65000, 65000))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected a whole JPEG or PNG file of at most 64,000,000 pixels"),
        (b"no image", "expected a whole JPEG or PNG"),
        (encode(PHOTOGRAPH, "GIF"), "expected a whole JPEG or PNG"),
        (encode(PHOTOGRAPH, "WEBP"), "expected a whole JPEG or PNG"),
        (encode(PHOTOGRAPH, "TIFF"), "expected a whole JPEG or PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (FILES["4:2:0"][:1500], "JPEG"),
        (FILES["PNG"][:20], "expected a whole JPEG or PNG"),
        (FILES["PNG"][:5000], "PNG"),
        (png_header(20_000, 20_000) + chunk(b"IDAT", b""), "20000 20000"),
        (png_header(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b""), "expected a whole JPEG or PNG"),
        (png_header(0, 5) + chunk(b"IDAT", b""), "expected a whole JPEG or PNG"),
        (png_header(5, 5) + b"\xff\xff\xff\xff" + b"abcd" * 20, ""),
        (JPEG_BOMB, "65000 65000"),
    ],
)
@pytest.mark.parametrize("view", ["whole", "cover"])
def test_other_bytes_are_an_error_that_names_the_image(data, said, view):
    served = in_graph(VIEWS[view])
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        served(tf.constant(data), tf.constant("image 3"))
    assert said in str(error.value)
    good = FILES["4:2:0"]
    assert served(tf.constant(good), tf.constant("x")).shape[-1] == 3  # and life goes on
