import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from tfcnns.pipelines import images, jpeg, transforms
from tfcnns.pipelines.source import Encoded

PHOTOGRAPH = Image.fromarray(load_sample_image("china.jpg"))
SEED = tf.constant([3, 4])


def encode(image, form="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def photograph(width, height, **options):
    return encode(PHOTOGRAPH.resize((width, height), Image.Resampling.LANCZOS), **options)


def in_stream(function, *files):
    """function(Encoded) of each file inside tf.data, as NumPy arrays."""
    names = [f"file {number}" for number in range(len(files))]
    dataset = tf.data.Dataset.from_tensor_slices((list(files), names))
    return [image.numpy() for image in dataset.map(lambda *file: function(Encoded(*file)))]


def plain(function, data):
    """The same crop the long way: decode all, resize all, then cut."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    return function(transforms.resize_short_side(image, 256)).numpy()


def assert_same_picture(image, expected, name=None):
    """Equal but for one pixel value in 500, which rounding puts one level off."""
    assert image.dtype == np.uint8, name
    assert image.shape == expected.shape, name
    difference = np.abs(image.astype(int) - expected)
    assert difference.max() <= 1, name
    assert np.mean(difference > 0) < 0.002, name


FILES = {
    "imagenet": photograph(500, 375, quality=90),
    "tall": photograph(375, 500, quality=90),
    "large": photograph(1300, 1100, quality=85),
    "smaller than 256": photograph(180, 90, quality=90),
    "exactly 256": photograph(256, 256, quality=90),
    "no subsampling": photograph(500, 375, quality=90, subsampling=0),
    "half subsampling": photograph(499, 373, quality=90, subsampling=1),
    "progressive": photograph(500, 375, progressive=True),
    "grey": encode(PHOTOGRAPH.convert("L")),
    "CMYK": encode(PHOTOGRAPH.convert("CMYK")),
    "png": encode(PHOTOGRAPH.resize((300, 270)), "PNG"),
    "long": photograph(2000, 100),
    "one pixel": photograph(1, 1),
}


@pytest.mark.parametrize("square", [True, False])
def test_random_crop_is_that_of_the_resized_image(square):
    def long_way(image):
        if square:
            image = transforms.center_crop(image, 256)
        return transforms.random_crop(image, 224, SEED)

    crops = in_stream(lambda f: jpeg.random_crop(f, 224, SEED, square=square), *FILES.values())
    for name, crop in zip(FILES, crops, strict=True):
        assert_same_picture(crop, plain(long_way, FILES[name]), name)


@pytest.mark.parametrize("size", [221, 256])
def test_center_crop_is_that_of_the_resized_image(size):
    crops = in_stream(lambda file: jpeg.center_crop(file, size), *FILES.values())
    for name, crop in zip(FILES, crops, strict=True):
        expected = plain(lambda image: transforms.center_crop(image, size), FILES[name])
        assert_same_picture(crop, expected, name)


def test_every_place_of_a_crop():
    """Corners included, where the window touches the border of the image."""
    data = FILES["imagenet"]
    resized = transforms.resize_short_side(tf.io.decode_jpeg(data), 256).numpy()
    seen = set()
    seeds = tf.data.Dataset.range(60).map(lambda i: tf.cast(tf.stack([i, 7]), tf.int32))
    for seed, crop in seeds.map(
        lambda seed: (seed, jpeg.random_crop(Encoded(data, "x"), 250, seed, square=True))
    ):
        top, left = transforms.random_offset([6, 6], seed).numpy()
        seen.add((top, left))
        left += (341 - 256) // 2
        assert_same_picture(crop.numpy(), resized[top : top + 250, left : left + 250])
    assert {top for top, _ in seen} == {left for _, left in seen} == set(range(7))


def test_cropping_before_resizing_would_not_do():
    """What the windows are for: the short cut that they replace is several levels off."""
    image = tf.io.decode_jpeg(FILES["imagenet"])
    crop = transforms.center_crop(transforms.resize_short_side(image, 256), 224).numpy()
    side = round(224 * 375 / 256)
    short_cut = transforms.resize(transforms.center_crop(image, side), 224, 224).numpy()
    assert np.abs(short_cut.astype(int) - crop).mean() > 2


def test_arrays_take_the_same_road():
    image = tf.io.decode_jpeg(FILES["imagenet"])
    crop = jpeg.random_crop(image, 224, SEED, square=True)
    (expected,) = in_stream(
        lambda file: jpeg.random_crop(file, 224, SEED, square=True), FILES["imagenet"]
    )
    assert_same_picture(crop.numpy(), expected)
    grey = jpeg.center_crop(np.zeros([8, 8, 1], np.uint8), 31, short_side=32)
    assert grey.shape == (31, 31, 1)
    np.testing.assert_array_equal(jpeg.decode(image), image)


def test_decode_is_that_of_images():
    files = [FILES[name] for name in ("imagenet", "CMYK", "grey", "png")]
    small = PHOTOGRAPH.resize((40, 30))
    files.append(encode(small.quantize(16), "GIF"))
    files += [encode(small, form) for form in ("BMP", "WEBP", "TIFF")]
    for image, data in zip(in_stream(jpeg.decode, *files), files, strict=True):
        np.testing.assert_array_equal(image, images.decode(data))


def lying(orientation, order="<"):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a maker of cameras"
    exif[0x0112] = orientation
    return photograph(320, 280, exif=exif)


def test_photographs_are_upright():
    files = [lying(orientation, order) for orientation in (1, 2, 3, 6, 8) for order in "<>"]
    wholes = in_stream(jpeg.decode, *files)
    crops = in_stream(lambda file: jpeg.center_crop(file, 224), *files)
    for data, whole, crop in zip(files, wholes, crops, strict=True):
        upright = images.decode(data)
        np.testing.assert_array_equal(whole, upright)
        expected = transforms.center_crop(transforms.resize_short_side(upright, 256), 224)
        assert_same_picture(crop, expected.numpy())


def test_only_lying_photographs_take_the_long_road(monkeypatch):
    calls = []
    monkeypatch.setattr(images, "decode", lambda *given: calls.append(given))
    in_stream(jpeg.decode, FILES["imagenet"], FILES["progressive"], lying(1), lying(1, ">"))
    assert not calls


DAMAGED = {
    "cut off": FILES["imagenet"][:-3000],
    "cut off in its header": FILES["imagenet"][:60],
    "empty": b"",
    "text": b"<html>404 not found</html>",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named(name):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"file 1 (is|isn't)"):
        in_stream(jpeg.decode, FILES["imagenet"], DAMAGED[name])


def test_damaged_crops_are_named():
    def crop(file):
        return jpeg.random_crop(file, 224, SEED)

    half = FILES["imagenet"][: len(FILES["imagenet"]) // 2]
    with pytest.raises(tf.errors.InvalidArgumentError, match="file 1 is damaged or cut off"):
        in_stream(crop, FILES["imagenet"], half)
    # What lies below the crop isn't read.
    below, whole = in_stream(crop, DAMAGED["cut off"], FILES["imagenet"])
    np.testing.assert_array_equal(below, whole)


def test_too_large_images_are_refused_before_they_are_decoded():
    side = 9000
    data = encode(Image.new("L", (side, side)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="file 0 has 9000 x 9000 pixels"):
        in_stream(lambda file: jpeg.center_crop(file, 224), data)


def test_crops_larger_than_the_scaled_image_are_refused():
    with pytest.raises(ValueError, match=r"size <= 256, the short side\. Received: 257"):
        jpeg.center_crop(np.zeros([300, 300, 3], np.uint8), 257)


def test_shapes_are_known():
    files = tf.data.Dataset.from_tensors((FILES["png"], "x")).map(Encoded)
    crops = files.map(lambda file: jpeg.random_crop(file, 224, SEED))
    assert crops.element_spec.shape == (224, 224, 3)
    whole = files.map(jpeg.decode)
    assert whole.element_spec.shape.as_list() == [None, None, 3]
