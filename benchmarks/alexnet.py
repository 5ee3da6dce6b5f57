"""Times a training step of AlexNet against the same net in stock Keras layers and in torch.

    python benchmarks/alexnet.py [--batch=32] [--rounds=5]

The steps are whole ones in float32: forward, backward, SGD with momentum on 60,965,224
parameters; train_on_batch for Keras, eager code for torch where it is installed
(pip install -e .[peers]). "Conv2D(groups=2)" is our net with Conv2D and Dense in the place of
TowerConv and TowerDense; "stock" has tf.nn.lrn too. Rounds are interleaved, so that a busy machine
is unfair to nobody, and the best round counts. Columns: images a second, time on the clock,
processor time of all threads (on CPUs the steadier of the two where others compute as well), and
both times over those of our net: above 1 ours is faster.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfcnns.layers import LRN, TowerConv, TowerDense
from tfcnns.models import alexnet

try:
    import torch
except ImportError:
    torch = None

_BATCH = flags.DEFINE_integer("batch", 32, "images per step", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "steps, of which the best counts", lower_bound=1)


def with_stock_layers(model, lrn):
    """The same net without our layers for towers, and if `lrn` with TensorFlow's own LRN."""

    def stock(layer):
        if isinstance(layer, TowerConv):
            return keras.layers.Conv2D(
                layer.filters,
                layer.kernel_size,
                layer.strides,
                layer.padding,
                groups=1 if layer.connected else layer.towers,
                activation=layer.activation,
                name=layer.name,
            )
        if isinstance(layer, TowerDense):
            return keras.layers.Dense(layer.units, activation=layer.activation, name=layer.name)
        if isinstance(layer, LRN) and lrn:
            constants = (layer.depth_radius, layer.bias, layer.alpha, layer.beta)
            return keras.layers.Lambda(lambda x: tf.nn.lrn(x, *constants), name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=stock)


def keras_step(model, x, y):
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    return lambda: model.train_on_batch(x, y)


def torch_step(x, y):
    nn = torch.nn

    def norm():
        return nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)  # divides alpha by 5

    net = nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        nn.Flatten(),
        *(nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(4096, 1000),
    )
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    x, y = torch.tensor(x).movedim(-1, 1).contiguous(), torch.tensor(y)

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def main(argv):
    del argv
    rng = np.random.default_rng(0)
    x = rng.normal(scale=60, size=(_BATCH.value, 227, 227, 3)).astype("float32")
    y = rng.integers(0, 1000, _BATCH.value)
    ours = alexnet()
    steps = {
        "ours": keras_step(ours, x, y),
        "Conv2D(groups=2)": keras_step(with_stock_layers(ours, lrn=False), x, y),
        "stock": keras_step(with_stock_layers(ours, lrn=True), x, y),
    }
    if torch:
        steps["torch, eager"] = torch_step(x, y)
    print(f"{os.cpu_count()} CPU cores, batch {_BATCH.value}, best of {_ROUNDS.value} rounds")
    best = {}
    for number in range(_ROUNDS.value + 1):  # the first traces and is beaten by the others
        order = list(steps.items())
        for label, step in order[:: -1 if number % 2 else 1]:
            time.sleep(0.2)  # let the threads of the one before stop waiting for more
            clock, processor = time.perf_counter(), time.process_time()
            step()
            spent = time.perf_counter() - clock, time.process_time() - processor
            best[label] = [min(pair) for pair in zip(best.get(label, spent), spent, strict=True)]
    print(f"  {'':18s}  images/s       clock ms        processor ms")
    for label, spent in best.items():
        columns = [f"{1e3 * t:8.0f} {t / o:6.2f}" for t, o in zip(spent, best["ours"], strict=True)]
        print(f"  {label:18s}{_BATCH.value / spent[0]:8.1f}    " + "    ".join(columns), flush=True)


if __name__ == "__main__":
    app.run(main)
