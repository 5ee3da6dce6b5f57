import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits as read_digits

from tfcnns.errors import UserError
from tfcnns.pipelines.digits import CLASS_NAMES, SPLITS, load_digits, split_rows
from tfcnns.pipelines.transforms import resize


@pytest.mark.parametrize(("split", "count"), [("train", 1247), ("validation", 150), ("test", 400)])
def test_shapes_counts_and_range(split, count):
    images, labels = load_digits(split)
    assert images.shape == (count, 8, 8, 1)
    assert labels.shape == (count,)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert (images.min(), images.max()) == (0, 255)
    assert images[:, :, 3:5].mean() > 3 * images[:, :, [0, 7]].mean()  # white ink in the middle


def test_held_out_parts_are_balanced():
    assert np.bincount(load_digits("test")[1]).tolist() == [40] * 10
    assert np.bincount(load_digits("validation")[1]).tolist() == [15] * 10
    assert len(CLASS_NAMES) == 10


def test_every_digit_is_in_one_part():
    rows = split_rows(read_digits().target)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(1797))


def test_pixels_are_those_of_scikit_learn():
    table = read_digits()
    images, labels = load_digits("validation")
    rows = split_rows(table.target)["validation"]
    np.testing.assert_array_equal(labels, table.target[rows])
    np.testing.assert_allclose(images[..., 0] / 255 * 16, table.images[rows], atol=0.04)


def test_split_is_fixed_for_ever():
    digest = hashlib.sha256()
    for split in SPLITS:
        images, labels = load_digits(split)
        digest.update(images.tobytes())
        digest.update(labels.astype("<i8").tobytes())
    assert digest.hexdigest() == "37b4d5298ba1d5619cd36a7c310f20ff9a86f86d2fc0bb1723422f6fdfebc78f"


@pytest.mark.parametrize("size", [4, 28])
def test_resized(size):
    images, labels = load_digits("test", size)
    small, small_labels = load_digits("test")
    assert images.shape == (400, size, size, 1)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(labels, small_labels)
    np.testing.assert_array_equal(images[7], resize(small[7], size, size))
    assert abs(images.mean() - small.mean()) < 6  # ink is kept


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"train, validation, test. Received: split='valid'"):
        load_digits("valid")
    with pytest.raises(UserError, match="size=0"):
        load_digits("test", 0)
