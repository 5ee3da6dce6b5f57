"""The mean training image: exact whatever the batches, and saved with the model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import MeanImage

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 5, 4, 3)).astype("uint8")


def adapted(data=IMAGES):
    layer = MeanImage()
    layer.adapt(data)
    return layer


@pytest.mark.parametrize(
    "data",
    [
        IMAGES,
        [IMAGES[:7], IMAGES[7:]],
        tf.data.Dataset.from_tensor_slices((IMAGES, np.zeros(23))).batch(4),
    ],
)
def test_the_mean_over_images_of_each_pixel(data):
    expected = IMAGES.astype("float64") - IMAGES.mean(0, dtype="float64")
    # Pixels up to 255 in float32: half a unit in the last place of 128..256 is 8e-6.
    np.testing.assert_allclose(adapted(data)(IMAGES), expected, atol=2e-5)


def test_large_pixels_do_not_overflow_in_float16():
    layer = MeanImage(dtype="float16")
    big = np.full((2, 3, 3, 1), 70_000, "float32")
    layer.adapt(big)
    np.testing.assert_array_equal(layer(big), 0)


def test_saved_with_the_model(tmp_path):
    model = keras.Sequential([keras.Input((5, 4, 3)), adapted()])
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))


def test_before_adapt_images_pass_with_one_warning():
    layer = MeanImage()
    with pytest.warns(UserWarning, match="not adapted"):
        out = layer(IMAGES)
    np.testing.assert_array_equal(out, IMAGES)
    layer(IMAGES)  # a second warning would be an error here


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([IMAGES, IMAGES[:, 1:]], "of one size"),
        (IMAGES[0], "N, H, W, C"),
        ([], "0 images"),
        (np.full((1, 2, 2, 1), np.nan), "finite"),
    ],
)
def test_what_is_no_stream_of_images(data, message):
    with pytest.raises(ValueError, match=message):
        MeanImage().adapt(data)


def test_sizes_are_fixed():
    with pytest.raises(ValueError, match="fixed size"):
        MeanImage().build((None, None, 4, 3))
    with pytest.raises(ValueError, match=r"\(5, 4, 3\)"):
        adapted().adapt(IMAGES[:, 1:])
