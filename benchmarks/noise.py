"""Times training steps whose noise goes by the sample's place against Keras' own draws.

    python benchmarks/noise.py [--rounds=15]

Each net trains on one device with the same layers twice: with `SampleSeeds` as they are, and with
its draws replaced by `keras.random.uniform` of the same shape. Steps of the two are interleaved,
so that a busy machine is unfair to neither. Columns: milliseconds a step, the best round of each,
and the ratio of the medians: above 1 the draws by place are slower.
"""

import os
import time
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from absl import app, flags

from tfcnns.layers.draws import SampleSeeds
from tfcnns.models import alexnet, maxout_cifar10, maxout_mnist_pi, nin_cifar10
from tfcnns.training import PaperSGD

_ROUNDS = flags.DEFINE_integer("rounds", 15, "steps of each", lower_bound=1)

NETS = {
    "maxout_mnist_pi, batch 100": (maxout_mnist_pi, (28, 28, 1), 100),
    "maxout_cifar10, batch 32": (maxout_cifar10, (32, 32, 3), 32),
    "nin_cifar10, batch 32": (nin_cifar10, (32, 32, 3), 32),
    "alexnet, batch 8": (alexnet, (227, 227, 3), 8),
}


def keras_uniform(seeds, samples, size):
    return keras.random.uniform((samples, size), dtype="float32", seed=seeds)


def trained_step(make, x, y):
    model = make()
    model.compile(PaperSGD(1e-6), "sparse_categorical_crossentropy")
    model.train_on_batch(x, y)  # traces it

    def step():
        start = time.perf_counter()
        model.train_on_batch(x, y)
        return time.perf_counter() - start

    return step


def main(_):
    print(f"{'net':28}  Keras ms  by place ms  ratio")
    for name, (make, shape, batch) in NETS.items():
        rng = np.random.default_rng(0)
        x, y = rng.random((batch, *shape), "float32"), rng.integers(0, 10, batch)
        ours = trained_step(make, x, y)
        with mock.patch.object(SampleSeeds, "uniform", keras_uniform):
            stock = trained_step(make, x, y)
        times = np.array([(stock(), ours()) for _ in range(_ROUNDS.value)])
        best, (a, b) = 1000 * times.min(0), np.median(times, 0)
        print(f"{name:28}  {best[0]:8.1f}  {best[1]:11.1f}  {b / a:5.3f}", flush=True)


if __name__ == "__main__":
    app.run(main)
