"""A batch in several passes makes the update of the whole batch, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import MLPConv, RandomWindow, ScaledDropout
from tfcnns.training.accumulation import accumulate
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.strategies import make_strategy


def trained(strategy, passes, noise=lambda: []):
    """Weights and logs after 3 epochs of batches of 4 and 3 samples."""
    rng = np.random.RandomState(0)
    arrays = rng.rand(7, 6, 6, 2).astype("float32"), rng.randint(0, 3, 7)
    keras.utils.set_random_seed(1)
    with make_strategy(strategy).scope():
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                MLPConv((4, 3), 3),
                *noise(),
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


def noise():
    return [ScaledDropout(0.5, scale=None, seed=1), RandomWindow(1, seed=2)]


@pytest.mark.parametrize(("strategy", "passes"), [("one", 3), ("mirrored", 2)])
def test_each_sample_has_its_own_noise_whichever_pass_it_is_in(strategy, passes):
    at_once = trained("one", 1, noise)
    np.testing.assert_allclose(trained(strategy, passes, noise), at_once, rtol=0, atol=1e-6)


class Noted(keras.layers.Layer):
    """Keras' dropout, whose masks are added up in a variable, one for each sample of a step."""

    def __init__(self):
        super().__init__()
        self.dropout = keras.layers.Dropout(0.5, seed=1)
        self.kept = self.add_weight(shape=(4, 6), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        y = self.dropout(x, training=training)
        if training:
            rows = tf.one_hot(tf.cast(x[:, 0, 0, 0], tf.int32), 4)  # the sample's number
            masks = tf.cast(y[:, 0, :, 1] > 0, tf.float32)
            self.kept.assign_add(tf.matmul(rows, masks, transpose_a=True))
        return y


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_passes_and_replicas_have_their_own_draws_of_keras_layers(strategy):
    x = np.ones((4, 6, 6, 2), "float32")
    x[:, 0, 0, 0] = range(4)
    masks = []
    for _ in range(2):
        with make_strategy(strategy).scope():
            noted = Noted()
            model = keras.Sequential([keras.Input((6, 6, 2)), noted, keras.layers.Flatten()])
            model.add(keras.layers.Dense(1))
            model.compile(PaperSGD(0.0), "mse")
        accumulate(model, 2)
        dataset = tf.data.Dataset.from_tensor_slices((x, np.zeros((4, 1)))).batch(4)
        model.fit(dataset, epochs=1, shuffle=False, verbose=0)
        replicas = make_strategy(strategy).experimental_local_results(noted.kept.value)
        masks.append(np.sum([r.numpy() for r in replicas], axis=0))
    np.testing.assert_array_equal(*masks)  # the same seed, the same masks
    # One sample a pass of each replica, or two: none may repeat another's.
    assert len(np.unique(masks[0], axis=0)) == 4


def test_less_than_one_pass_is_refused():
    with pytest.raises(ValueError, match="passes=0"):
        accumulate(None, 0)
