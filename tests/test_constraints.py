"""keras.constraints.MaxNorm does what pylearn2's max_kernel_norm and max_col_norm do.

A maxout layer's kernel holds a column for each piece: consecutive outputs belong to one unit.
"""

import keras
import numpy as np
import pytest
import references_preprocessing as references

LIMIT = 1.9365
DENSE = keras.constraints.MaxNorm(LIMIT, axis=0)
CONV = keras.constraints.MaxNorm(0.9, axis=[0, 1, 2])


def column_norms(kernel):
    return np.linalg.norm(np.reshape(kernel, (-1, kernel.shape[-1])), axis=0)


@pytest.mark.parametrize(
    ("constraint", "limit", "shape"),
    [(DENSE, LIMIT, (30, 4 * 5)), (CONV, 0.9, (8, 8, 3, 6 * 2))],
)
def test_each_piece_has_a_norm_of_its_own(constraint, limit, shape):
    kernel = np.random.default_rng(0).normal(size=shape).astype("float32")
    norms = np.linspace(0.5, 1.5, shape[-1], dtype="float32") * limit
    kernel *= norms / column_norms(kernel)
    limited = np.array(constraint(kernel))
    np.testing.assert_allclose(column_norms(limited), np.minimum(norms, limit), rtol=1e-5)
    np.testing.assert_allclose(limited, references.limit_column_norms(kernel, limit), rtol=1e-5)
    short = norms < limit
    np.testing.assert_allclose(limited[..., short], kernel[..., short], rtol=1e-5)
    assert np.isfinite(constraint(np.zeros(shape, "float32"))).all()


class Norms(keras.callbacks.Callback):
    """The norms of all columns of all kernels after each update."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        kernels = [w for w in self.model.trainable_weights if w.name == "kernel"]
        self.seen.append([column_norms(w.numpy()) for w in kernels])


def train(constrained):
    keras.utils.set_random_seed(0)
    conv, dense = (CONV, DENSE) if constrained else (None, None)
    model = keras.Sequential(
        [
            keras.layers.Conv2D(4 * 2, 3, kernel_constraint=conv),
            keras.layers.Reshape((6, 6, 4, 2)),
            keras.layers.Lambda(lambda x: keras.ops.max(x, axis=-1), output_shape=(6, 6, 4)),
            keras.layers.Flatten(),
            keras.layers.Dense(3 * 5, kernel_constraint=dense),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5, momentum=0.5), "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 8, 8, 3)).astype("float32")
    y = rng.normal(size=(24, 15)).astype("float32")
    norms = Norms()
    model.fit(x, 100 * y, batch_size=8, verbose=0, callbacks=[norms])
    return norms.seen


def test_applied_after_every_update():
    for conv, dense in train(constrained=True):
        assert conv.max() <= 0.9 * (1 + 1e-5)
        assert dense.max() <= LIMIT * (1 + 1e-5)
    for conv, dense in train(constrained=False)[:1]:
        assert conv.max() > 0.9  # so that there was something to do
        assert dense.max() > LIMIT


def test_saved_with_the_layer():
    layer = keras.layers.Conv2D(4, 3, kernel_constraint=CONV)
    again = keras.layers.Conv2D.from_config(layer.get_config())
    assert again.kernel_constraint.get_config() == {"max_value": 0.9, "axis": [0, 1, 2]}
