import numpy as np
import pytest
import tensorflow as tf

from tfcnns.pipelines.crops import ten_crops
from tfcnns.pipelines.transforms import center_crop

IMAGE = np.random.RandomState(0).randint(0, 256, (7, 9, 3)).astype(np.uint8)


def test_the_ten_crops():
    crops = ten_crops(IMAGE, 4).numpy()
    assert crops.shape == (10, 4, 4, 3)
    assert crops.dtype == np.uint8
    top, bottom = slice(0, 4), slice(3, 7)
    left, right = slice(0, 4), slice(5, 9)
    np.testing.assert_array_equal(crops[0], IMAGE[top, left])
    np.testing.assert_array_equal(crops[1], IMAGE[top, right])
    np.testing.assert_array_equal(crops[2], IMAGE[bottom, left])
    np.testing.assert_array_equal(crops[3], IMAGE[bottom, right])
    np.testing.assert_array_equal(crops[4], center_crop(IMAGE, 4))
    for crop, mirrored in zip(crops[:5], crops[5:], strict=True):
        np.testing.assert_array_equal(mirrored, np.fliplr(crop))


def test_an_image_as_large_as_its_crops():
    crops = ten_crops(IMAGE[:, :7], 7).numpy()
    for crop in crops[:5]:
        np.testing.assert_array_equal(crop, IMAGE[:, :7])


def test_inside_tf_data_where_sizes_are_unknown():
    spec = tf.TensorSpec([None, None, 3], tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: [IMAGE, IMAGE[:6]], output_signature=spec)
    dataset = dataset.map(lambda image: ten_crops(image, 5))
    assert dataset.element_spec.shape == (10, 5, 5, 3)
    for crops, image in zip(dataset, (IMAGE, IMAGE[:6]), strict=True):
        np.testing.assert_array_equal(crops, ten_crops(image, 5))


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match=r"height >= 8\. Received: height=7"):
        ten_crops(IMAGE, 8)
