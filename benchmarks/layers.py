"""Times the layers against stock Keras, TensorFlow's own op, naive forms and torch, in one run.

    python benchmarks/layers.py [--only=LRN] [--batch=32] [--rounds=9]

Each figure is one forward and backward pass (gradients of the input and of all weights) in
float32: a tf.function for Keras, eager and torch.compile'd code for torch where it is installed
(pip install -e .[peers]). Rounds are interleaved, so that a busy machine is unfair to nobody, and
the best round counts. Columns: time on the clock, processor time of all threads (on CPUs the
steadier of the two where others compute as well), and both over those of our layer: above 1 ours
is faster.
"""

import functools
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from absl import app, flags, logging
from keras import ops

from tfcnns.layers import LRN, MaxoutConv, MaxoutDense, MLPConv

try:
    import torch
except ImportError:
    torch = None

_BATCH = flags.DEFINE_integer("batch", 32, "images per pass", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "passes, of which the best counts", lower_bound=1)
_ONLY = flags.DEFINE_string("only", "", "run the cases whose name contains this")
_COMPILE = flags.DEFINE_boolean("torch_compile", False, "time torch.compile too; slow to start")


def lrn_case(*size):
    def shifted(x, radius=2):
        channels = x.shape[-1]
        squares = ops.pad(ops.square(x), [(0, 0)] * 3 + [(radius, radius)])
        total = sum(squares[..., j : j + channels] for j in range(2 * radius + 1))
        return x / ops.power(2.0 + 1e-4 * total, 0.75)

    contestants = {
        "ours": LRN(),
        "tf.nn.lrn": keras.layers.Lambda(lambda x: tf.nn.lrn(x, 2, 2.0, 1e-4, 0.75)),
        "five shifted slices": keras.layers.Lambda(shifted),
    }
    if torch:
        contestants["torch"] = torch.nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
    return size, contestants


def maxout_dense_case(features, units, pieces):
    contestants = {
        "ours": MaxoutDense(units, pieces),
        "Dense, reshape, max": keras.Sequential(
            [
                keras.layers.Dense(units * pieces),
                keras.layers.Reshape((units, pieces)),
                keras.layers.Lambda(lambda z: ops.max(z, axis=-1)),
            ]
        ),
    }
    if torch:
        contestants["torch"] = TorchMaxout(
            torch.nn.Linear(features, units * pieces), (units, pieces)
        )
    return (features,), contestants


def maxout_conv_case(size, filters, kernel_size, pieces):
    class SeveralConvolutions(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.convs = [keras.layers.Conv2D(filters, kernel_size) for _ in range(pieces)]

        def call(self, x):
            return functools.reduce(ops.maximum, [conv(x) for conv in self.convs])

    def strided(z):
        return functools.reduce(ops.maximum, [z[..., j::pieces] for j in range(pieces)])

    height, width = (length - kernel_size + 1 for length in size[:2])
    conv = functools.partial(keras.layers.Conv2D, filters * pieces, kernel_size)
    contestants = {
        "ours": MaxoutConv(filters, kernel_size, pieces),
        "Conv2D, reshape, max": keras.Sequential(
            [
                conv(),
                keras.layers.Reshape((height, width, filters, pieces)),
                keras.layers.Lambda(lambda z: ops.max(z, axis=-1)),
            ]
        ),
        "Conv2D, strided max": keras.Sequential([conv(), keras.layers.Lambda(strided)]),
        "one Conv2D a piece": SeveralConvolutions(),
        "Conv2D alone": conv(),
    }
    if torch:
        contestants["torch"] = TorchMaxout(
            torch.nn.Conv2d(size[-1], filters * pieces, kernel_size), (filters, pieces)
        )
    return size, contestants


def mlp_conv_case(size, filters, kernel_size):
    contestants = {
        "ours": MLPConv(filters, kernel_size),
        "Conv2D chain": keras.Sequential(
            [
                keras.layers.Conv2D(f, 1 if i else kernel_size, padding="same", activation="relu")
                for i, f in enumerate(filters)
            ]
        ),
    }
    if torch:
        chain = []
        for i, (before, after) in enumerate(zip((size[-1], *filters), filters, strict=False)):
            chain.append(torch.nn.Conv2d(before, after, 1 if i else kernel_size, padding="same"))
            chain.append(torch.nn.ReLU())
        contestants["torch"] = torch.nn.Sequential(*chain)
    return size, contestants


if torch:

    class TorchMaxout(torch.nn.Module):
        def __init__(self, affine, units):
            super().__init__()
            self.affine, self.units = affine, units

        def forward(self, x):
            return self.affine(x).unflatten(1, self.units).amax(2)


CASES = {
    "LRN 55x55x96": lambda: lrn_case(55, 55, 96),
    "LRN 27x27x256": lambda: lrn_case(27, 27, 256),
    "LRN 14x14x1024": lambda: lrn_case(14, 14, 1024),
    "MaxoutDense 784 -> 240x5": lambda: maxout_dense_case(784, 240, 5),
    "MaxoutDense 4800 -> 500x5": lambda: maxout_dense_case(4800, 500, 5),
    "MaxoutConv 40x40x3 -> 96x2, 8x8": lambda: maxout_conv_case((40, 40, 3), 96, 8, 2),
    "MaxoutConv 22x22x96 -> 192x2, 8x8": lambda: maxout_conv_case((22, 22, 96), 192, 8, 2),
    "MLPConv 32x32x3 -> 192, 160, 96": lambda: mlp_conv_case((32, 32, 3), (192, 160, 96), 5),
    "MLPConv 16x16x96 -> 192, 192, 192": lambda: mlp_conv_case((16, 16, 96), (192,) * 3, 5),
}


def keras_pass(layer, x):
    layer(x)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * y)
        return tape.gradient(loss, [x, *layer.trainable_variables])

    return lambda: step(x)[0].numpy()


def torch_pass(module, x):
    x = torch.tensor(x.numpy()).movedim(-1, 1).contiguous().requires_grad_()

    def step():
        x.grad = None
        module.zero_grad()
        module(x).square().sum().backward()

    return step


def main(argv):
    del argv
    logging.set_verbosity(logging.ERROR)  # each contestant is traced once, on purpose
    print(f"{os.cpu_count()} CPU cores, batch {_BATCH.value}, best of {_ROUNDS.value} rounds")
    for name, case in CASES.items():
        if _ONLY.value not in name:
            continue
        size, contestants = case()
        x = tf.nn.relu(tf.random.normal((_BATCH.value, *size)))
        passes = {}
        for label, contestant in contestants.items():
            ours = isinstance(contestant, keras.layers.Layer)
            passes[label] = (keras_pass if ours else torch_pass)(contestant, x)
            if not ours and _COMPILE.value:
                passes["torch.compile"] = torch_pass(torch.compile(contestant), x)
        best = {}
        for number in range(_ROUNDS.value + 1):  # the first traces and is beaten by the others
            order = list(passes.items())
            for label, one_pass in order[:: -1 if number % 2 else 1]:
                time.sleep(0.2)  # let the threads of the one before stop waiting for more
                clock, processor = time.perf_counter(), time.process_time()
                one_pass()
                spent = time.perf_counter() - clock, time.process_time() - processor
                best[label] = [
                    min(pair) for pair in zip(best.get(label, spent), spent, strict=True)
                ]
        print(f"\n{name}\n  {'':22s}    clock ms        processor ms")
        for label, spent in best.items():
            columns = [
                f"{1e3 * t:8.1f} {t / o:6.2f}" for t, o in zip(spent, best["ours"], strict=True)
            ]
            print(f"  {label:22s}" + "    ".join(columns), flush=True)


if __name__ == "__main__":
    app.run(main)
