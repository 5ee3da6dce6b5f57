"""Under JAX, Keras' own DataParallel trains these networks in two processes as in one."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tfcnns import launch

ROOT = pathlib.Path(__file__).parents[1]

CHILD = """
import sys
import jax, keras, numpy as np

process, processes, address, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if processes > 1:
    keras.distribution.initialize(address, processes, process)
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(auto_shard_dataset=False)
    )
    assert jax.device_count() == processes

from tfcnns import models
from tfcnns.training.paper_sgd import PaperSGD

rng = np.random.RandomState(0)
x, y = rng.rand(2, 4, 12, 12, 1).astype("float32"), rng.randint(0, 10, (2, 4))  # 2 batches of 4
part = slice(4 // processes * process, 4 // processes * (process + 1))
results = {}
cases = [(n, "float32") for n in ("nin_mnist", "maxout_mnist")] + [("nin_mnist", "mixed_bfloat16")]
for name, policy in cases:
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(1)
    model = getattr(models, name)(input_shape=(12, 12, 1), width=0.1)
    for layer in model.layers:
        if "Dropout" in type(layer).__name__:
            layer.rate = 0.0
    model.compile(PaperSGD(0.05), "sparse_categorical_crossentropy")
    own = x[:, part].reshape(-1, 12, 12, 1), y[:, part].reshape(-1)
    model.fit(*own, batch_size=4 // processes, epochs=2, shuffle=False, verbose=0)
    results[f"{name} {policy}"] = np.concatenate([np.ravel(w) for w in model.get_weights()])
np.savez(file, **results)
"""


@pytest.mark.slow
def test_two_processes_train_to_what_one_does(tmp_path):
    pytest.importorskip("jax")
    (address,) = launch.free_addresses(1)

    def start(process, processes):
        file = tmp_path / f"{process} of {processes}.npz"
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, str(process), str(processes), address, str(file)],
            cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
            stderr=subprocess.PIPE,
            text=True,
        )

    for process in [start(0, 2), start(1, 2), start(0, 1)]:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    first, second, alone = (
        np.load(tmp_path / f"{name}.npz") for name in ("0 of 2", "1 of 2", "0 of 1")
    )
    for name in alone.files:
        np.testing.assert_array_equal(first[name], second[name])
        # bfloat16 rounds to 2^-9, gradients of half a batch otherwise than those of a whole.
        tolerance = 1e-5 if "float32" in name else 5e-3
        assert np.abs(alone[name][-10:]).max() > 10 * tolerance  # biases, which began at 0
        np.testing.assert_allclose(first[name], alone[name], rtol=0, atol=tolerance)
