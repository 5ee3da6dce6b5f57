"""LiteRT files in eight bits keep the numbers of every kind of net."""

import keras
import numpy as np
import pytest

from tfcnns.export import check, to_litert
from tfcnns.layers import CeilAveragePooling2D, CeilMaxPooling2D, MaxoutConv, MaxoutDense

pytest.importorskip("ai_edge_litert")


def test_maxout_and_partial_pools_in_eight_bits(tmp_path):
    """Pools whose last windows are partial, as in the nets of the paper: 13 -> 6 -> 3 pixels."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1))
    x = MaxoutConv(6, 4, pieces=2)(inputs)
    x = CeilMaxPooling2D(4, 2)(x)
    x = CeilAveragePooling2D(3, 2)(MaxoutConv(6, 3, pieces=2, padding="same")(x))
    model = keras.Model(inputs, MaxoutDense(5, pieces=3)(keras.layers.Flatten()(x)))
    images = np.random.default_rng(0).normal(size=(30, 16, 16, 1)).astype("float32")
    file = tmp_path / "it.tflite"
    to_litert.write(file, model, (1, 16, 16, 1), "int8", images)
    found, _, _ = check.load_elsewhere("tflite", file, {"serving_default": {"images": images}})
    expected = model.predict_on_batch(images)
    # Eight bits a layer, four layers: some hundredths of the range.
    range_ = expected.max() - expected.min()
    np.testing.assert_allclose(
        found["serving_default"]["scores"], expected, rtol=0, atol=0.04 * range_
    )
