"""Small nets on folders of files: as they are where they fit, scaled where that was asked for."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfcnns.errors import UserError
from tfcnns.pipelines import jpeg
from tfcnns.pipelines.datasets import open_dataset
from tfcnns.pipelines.sized import sized
from tfcnns.pipelines.source import from_arrays
from tfcnns.recipes import nin_cifar10

RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(0, 256, (20, 32, 32, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten PNGs of 32 x 32 pixels."""
    for number, pixels in enumerate(PIXELS):
        place = tmp_path / "train" / f"c{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    return tmp_path


def test_the_recipe_takes_a_folder_of_its_own_size(folder):
    values = {"data": f"folder:{folder}", "batch_size": 20, "split": "train+validation"}
    stream = nin_cifar10.data({**nin_cifar10.config(), **values}, "train")
    assert stream.element_spec[0].shape[1:] == (32, 32, 3)
    images, labels = next(stream.as_numpy_iterator())
    found = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert found == {pixels.tobytes(): number % 2 for number, pixels in enumerate(PIXELS)}


def test_other_sizes_are_refused_or_resized(folder):
    name = folder / "train" / "c1" / "19.png"
    large = RANDOM.randint(0, 256, (50, 40, 3)).astype(np.uint8)
    Image.fromarray(large).save(name)
    source = open_dataset(f"folder:{folder}", "train+validation")
    said = f"{name} has 40 x 50 pixels, expected 32 x 32; add --set resize=true"
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        list(sized(source, (32, 32, 3)).dataset())
    with pytest.raises(UserError, match=f"here has images of other sizes: {name} has 40 x 50"):
        sized(source.part([19]), (32, 32, 3), where="here")
    images = [image for image, _ in sized(source, (32, 32, 3), resize=True).dataset()]
    np.testing.assert_array_equal(images[0], PIXELS[0])
    np.testing.assert_array_equal(images[19], jpeg.cover(large, (32, 32)))
    grey = [image for image, _ in sized(source, (32, 32, 1), resize=True).dataset()]
    np.testing.assert_array_equal(grey[0], tf.image.rgb_to_grayscale(PIXELS[0]))


def test_arrays():
    source = from_arrays(PIXELS, np.zeros(20, np.int64), ("a",))
    assert sized(source, (32, 32, 3)) is source
    with pytest.raises(UserError, match=r"data has images of \(32, 32, 3\), not \(16, 16, 3\)"):
        sized(source, (16, 16, 3))
    with pytest.raises(UserError, match=r"data has images of \(32, 32, 3\), not \(16, 16, 1\)"):
        sized(source, (16, 16, 1), resize=True)
    image, _ = sized(source, (16, 16, 3), resize=True).dataset().take(1).get_single_element()
    np.testing.assert_array_equal(image, jpeg.cover(PIXELS[0], (16, 16)))
