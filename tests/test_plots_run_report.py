"""What the report of a run reads, and which images of it are held in memory."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnns import runs
from tfcnns.errors import UserError
from tfcnns.plots import run_report
from tfcnns.plots.run_report import images_at


def test_some_rows_across_batches():
    images = np.arange(7)[:, None, None, None] * np.ones((7, 2, 2, 1))
    stream = tf.data.Dataset.from_tensor_slices((images, np.arange(7))).batch(3)
    found = images_at(stream, [0, 2, 3, 6])
    assert sorted(found) == [0, 2, 3, 6]
    for row, image in found.items():
        np.testing.assert_array_equal(image, images[row])


def test_of_ten_crops_the_centre():
    crops = np.arange(10)[:, None, None, None] * np.ones((3, 10, 2, 2, 3))
    stream = tf.data.Dataset.from_tensor_slices((crops, np.arange(3))).batch(2)
    assert images_at(stream, [2])[2][0, 0, 0] == 4  # four corners, then the centre


def test_a_recipe_without_test_data_is_named(tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "def config(): return {}\n"
        "def data(config, split, worker, workers): return None\n"
        "def model(config): raise NotImplementedError\n"
        "def compile(model, config): raise NotImplementedError\n"
    )
    run = runs.create_run(tmp_path / "run", recipe, {})
    with pytest.raises(UserError, match="recipe mine has no test data"):
        run_report.write(run)
