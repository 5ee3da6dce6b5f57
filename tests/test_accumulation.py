"""A batch in several passes makes the update of the whole batch, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import MLPConv
from tfcnns.training.accumulation import accumulate
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.strategies import make_strategy


def trained(strategy, passes, dropout=0.0):
    """Weights and logs after 3 epochs of batches of 4 and 3 samples."""
    rng = np.random.RandomState(0)
    arrays = rng.rand(7, 6, 6, 2).astype("float32"), rng.randint(0, 3, 7)
    keras.utils.set_random_seed(1)
    with make_strategy(strategy).scope():
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                MLPConv((4, 3), 3),
                keras.layers.Dropout(dropout),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, "softmax", kernel_regularizer=keras.regularizers.L2(0.1)),
            ]
        )
        model.compile(PaperSGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    accumulate(model, passes)
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(4)
    history = model.fit(dataset, epochs=3, shuffle=False, verbose=0)
    assert model.optimizer.iterations.numpy() == 6
    weights = [w.ravel() for w in model.get_weights()]
    return np.concatenate(weights + list(history.history.values()))


@pytest.fixture(scope="module")
def at_once():
    return trained("one", 1)


@pytest.mark.parametrize(("strategy", "passes"), [("one", 3), ("mirrored", 2)])
def test_passes_change_nothing(at_once, strategy, passes):
    np.testing.assert_allclose(trained(strategy, passes), at_once, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_passes_under_loss_scaling(strategy):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        passes, at_once = trained(strategy, 2), trained(strategy, 1)
    finally:
        keras.config.set_dtype_policy("float32")
    # float16 rounds each sample's gradient to 2^-11 of it, in another order; values of order one.
    np.testing.assert_allclose(passes, at_once, rtol=0, atol=2e-3)


def test_every_pass_draws_its_own_dropout():
    assert np.isfinite(trained("mirrored", 2, dropout=0.5)).all()


def test_less_than_one_pass_is_refused():
    with pytest.raises(ValueError, match="passes=0"):
        accumulate(None, 0)
