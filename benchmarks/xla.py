"""Times training steps with XLA for nothing, for segments, and for the whole step, in one run.

    python benchmarks/xla.py [--only=nin] [--rounds=5]

Whole steps in float32: forward, backward and PaperSGD. "segments" is `xla_segments(True)`, "step"
`compile(jit_compile=True)`. The three take turns, so that a busy machine is unfair to none, and
the best round counts. Columns: images a second, time on the clock, processor time of all threads
(on CPUs the steadier of the two where others compute as well), both times over those of "off"
(below 1 is faster), and the time of the first step, which traces and compiles.

The figures behind `--xla=auto` are in docs/xla.md.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfcnns import models
from tfcnns.layers import xla_segments
from tfcnns.training.paper_sgd import PaperSGD

_ROUNDS = flags.DEFINE_integer("rounds", 5, "steps, of which the best counts", lower_bound=1)
_ONLY = flags.DEFINE_string("only", "", "run the nets whose name contains this")
_BATCH = flags.DEFINE_integer("batch", None, "images per step; by default each net's own")
_WAYS = flags.DEFINE_list("ways", ["off", "segments", "step"], "what to time; off must be in it")

# Builder, its arguments, images per step.
NETS = {
    "alexnet": (models.alexnet, {}, 32),
    "nin_cifar10": (models.nin_cifar10, {}, 32),
    "maxout_cifar10": (models.maxout_cifar10, {}, 32),
    "maxout_mnist_pi": (models.maxout_mnist_pi, {}, 100),
}


def make_step(way, build, arguments, batch):
    """A function that takes one training step in the given way."""
    keras.utils.set_random_seed(0)
    model = build(**arguments)
    model.compile(
        PaperSGD(1e-4, weight_decay=5e-4),
        "sparse_categorical_crossentropy",
        jit_compile=way == "step",
    )
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(batch, *model.input_shape[1:])), "float32")
    y = tf.constant(rng.integers(0, model.output_shape[-1], batch))

    def step():
        with xla_segments(way == "segments"):  # it is the first step that is traced under it
            return model.train_on_batch(x, y)

    return step


def main(argv):
    del argv
    kinds = {d.device_type for d in tf.config.list_logical_devices()}
    print(f"{os.cpu_count()} CPU cores, devices {kinds}, best of {_ROUNDS.value} rounds")
    for name, (build, arguments, batch) in NETS.items():
        if _ONLY.value not in name:
            continue
        batch = _BATCH.value or batch
        steps, first, best = {}, {}, {}
        for way in _WAYS.value:
            started = time.perf_counter()
            steps[way] = make_step(way, build, arguments, batch)
            steps[way]()
            first[way] = time.perf_counter() - started
        for number in range(_ROUNDS.value):
            order = list(steps.items())
            for way, step in order[:: -1 if number % 2 else 1]:
                time.sleep(0.1)  # let the threads of the one before stop waiting for more
                clock, processor = time.perf_counter(), time.process_time()
                step()
                spent = time.perf_counter() - clock, time.process_time() - processor
                best[way] = [min(pair) for pair in zip(best.get(way, spent), spent, strict=True)]
        print(f"\n{name}, batch {batch}\n            images/s     clock ms         processor ms")
        for way, spent in best.items():
            columns = [
                f"{1e3 * t:8.0f} {t / o:6.2f}" for t, o in zip(spent, best["off"], strict=True)
            ]
            rate = batch / spent[0]
            print(f"  {way:10s}{rate:8.1f}  {'  '.join(columns)}  first {first[way]:5.1f} s")


if __name__ == "__main__":
    app.run(main)
