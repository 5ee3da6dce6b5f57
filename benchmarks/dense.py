"""Times OverFeat's dense inference over six scales against its windows cut out one by one.

    python benchmarks/dense.py [--quick] [--bfloat16] [--rounds=5]

The accurate net with random weights on the paper's six sizes (table 5), 1,575 windows of 221 x 221
pixels, no mirror images. Contestants, all compiled:

- dense: `dense_net(model)`, what `dense_map` and `multiscale_vote` call; one image at a time
- crops, Keras: the model itself on each window, one at a time and 32 at a time
- crops, ours: the same, through `dense_net`, whose wide layers are matrix products

Arithmetic is counted in the layers' multiplications and additions, and put beside a product of two
2048 x 2048 matrices, measured between the others. Rounds are interleaved, so that a busy machine
is unfair to nobody, and the best round counts. Columns: time on the clock and processor time of
all threads (on CPUs the steadier of the two where others compute as well); both as a share of the
product's rate; and both over those of dense: above 1 dense is faster. Each round times the
given number of crops, as all cost the same, and stands for 1,575.
"""

import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfcnns.detection import geometry, window_boxes
from tfcnns.detection.dense import dense_net
from tfcnns.layers import OffsetMaxPool
from tfcnns.models import overfeat

SIZES = ((245, 245), (281, 317), (317, 389), (389, 461), (425, 497), (461, 569))
SIDE = 2048  # of the matrices

_ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds, of which the best counts", lower_bound=1)
_CROPS = flags.DEFINE_integer("crops", 64, "windows a round, each way to crop", lower_bound=32)
_QUICK = flags.DEFINE_boolean("quick", False, "two rounds of 32 windows")
_BFLOAT16 = flags.DEFINE_boolean("bfloat16", False, "the net in mixed_bfloat16")


def arithmetic(model, height, width, offsets=1):
    """Multiplications and additions of the convolutions, for an image of this size.

    With offsets p > 1, the head works on p^2 maps.
    """
    last_pool = geometry(model).last_pool
    total, shape = 0, (1, height, width, 3)
    for layer in model.layers[1:]:
        if layer.name == last_pool and offsets > 1:
            layer = OffsetMaxPool(offsets)
        shape = layer.compute_output_shape(shape)
        if isinstance(layer, keras.layers.Conv2D):
            total += 2 * math.prod(layer.kernel.shape[:3]) * math.prod(shape)
    return total


def timed(function):
    clock, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - clock, time.process_time() - processor


def main(argv):
    del argv
    rounds, crops = (2, 32) if _QUICK.value else (_ROUNDS.value, _CROPS.value)
    if _BFLOAT16.value:
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = overfeat("accurate", kernel_initializer="he_normal")
    net = dense_net(model)
    g = net.geometry
    rng = np.random.default_rng(0)
    images = [tf.constant(rng.normal(size=(1, *size, 3)), tf.float32) for size in SIZES]
    boxes = [
        (image, box)
        for image, size in zip(images, SIZES, strict=True)
        for box in np.reshape(window_boxes(g, size), (-1, 4)).astype(int)
    ]
    windows = len(boxes)
    some = []
    for i in rng.permutation(windows)[: crops - crops % 32]:
        image, (x0, y0, x1, y1) = boxes[i]
        some.append(image[:, y0:y1, x0:x1])
    batches = [tf.concat(some[i : i + 32], axis=0) for i in range(0, len(some), 32)]
    matrix = tf.random.normal((SIDE, SIDE))
    if _BFLOAT16.value:
        matrix = tf.cast(matrix, tf.bfloat16)
    product = tf.function(tf.matmul)
    keras_net = tf.function(model, reduce_retracing=True)

    def ours(x):
        return net(x)["classifier"]

    def each(function, inputs):
        return lambda: [function(x).numpy() for x in inputs]

    dense = sum(arithmetic(model, *size, offsets=g.pool) for size in SIZES)
    one = arithmetic(model, g.window, g.window)
    scale = windows / len(some)
    contestants = {  # what to time, by how much to multiply the time, and the arithmetic then
        f"product of {SIDE}^2": (lambda: product(matrix, matrix).numpy(), 1, 2 * SIDE**3),
        "dense": (each(ours, images), 1, dense),
        "crops, Keras, 1": (each(keras_net, some), scale, one * windows),
        "crops, Keras, 32": (each(keras_net, batches), scale, one * windows),
        "crops, ours, 1": (each(ours, some), scale, one * windows),
        "crops, ours, 32": (each(ours, batches), scale, one * windows),
    }
    print(
        f"{os.cpu_count()} CPU cores, {windows} windows, best of {rounds} rounds; "
        f"GFLOP: dense {dense / 1e9:.0f}, crops {one * windows / 1e9:.0f}, "
        f"{one * windows / dense:.1f} times as much"
    )
    best = {}
    for number in range(rounds + 1):  # the first traces and is beaten by the others
        order = list(contestants.items())
        for label, (function, factor, _) in order[:: -1 if number % 2 else 1]:
            time.sleep(0.2)  # let the threads of the one before stop waiting for more
            for _ in range(5 if label.startswith("product") else 1):
                spent = [factor * t for t in timed(function)]
                best[label] = [min(two) for two in zip(best.get(label, spent), spent, strict=True)]
    print(f"  {'':18s}  clock s  share  / dense    processor s  share  / dense")
    rates = [2 * SIDE**3 / t for t in best[f"product of {SIDE}^2"]]
    for label, spent in best.items():
        work = contestants[label][2]
        columns = [
            f"{t:9.3f} {100 * work / t / rate:5.0f}% {t / d:8.1f}"
            for t, rate, d in zip(spent, rates, best["dense"], strict=True)
        ]
        print(f"  {label:18s}" + "      ".join(columns), flush=True)
    print(f"  product: {rates[0] / 1e9:.0f} GFLOP/s on the clock")


if __name__ == "__main__":
    app.run(main)
