"""Weak scaling: images a second of one and of two workers, and where what is lost goes.

    python benchmarks/scaling.py [--only=nin] [--batch=128] [--rounds=4]

Two processes, each pinned to a processor core of its own, train as `tfcnns.launch` has them train:
`make_strategy("multiworker")`, `fit`, float32, XLA segments, `PaperSGD`. Each has `batch` images a
step. Images are random noise, but come through the package's own input pipeline: AlexNet's as
JPEGs of 500x375 pixels, decoded, cropped and mirrored, NIN's as arrays, cropped and mirrored.

    one      a worker alone, without a strategy, while the other core is idle
    apart    both at the same time, each for itself: what they take from each other's memory
    two      both as one training, which adds the all-reduce of the gradients
    +input   with the pipeline; without it, the same batch over and over
    reduce   nothing but an all-reduce of as many numbers as the net has weights

All take turns in every round, so that a busy machine is unfair to none, and the best round of each
counts. Columns: time on the clock, images a second of all workers, processor time of one (where
others compute as well the steadier of the two, but blind to waiting). Efficiency is the images a
second of "two+input" over twice those of "one+input". What is missing to 1 is split into computing
(apart - one), exchange (two - apart) and input (what the pipeline costs two beyond what it costs
one), as shares of the time of a step of "two+input".

docs/scaling.md has the figures, and goes on from here to machines that nobody had.
"""

import os
import subprocess
import sys
import time

from absl import app, flags

_ONLY = flags.DEFINE_string("only", "", "run the nets whose name contains this")
_BATCH = flags.DEFINE_integer("batch", 128, "images per step and worker", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 4, "of which the best counts", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", None, "steps a round; by default each net's own")
_GRADIENTS = flags.DEFINE_enum(
    "gradient_dtype", "float32", ["float32", "bfloat16"], "type in which gradients are exchanged"
)
_WORKER = flags.DEFINE_integer("worker", None, "for this script's own use: which worker this is")

# Builder in tfcnns.models and steps a round.
NETS = {"nin_cifar10": 5, "alexnet": 2}
MODES = ("one", "one+input", "apart", "two", "two+input", "reduce")


class Worker:
    """A worker process, as its parent sees it."""

    def __init__(self, net, index, core, addresses):
        from tfcnns.launch import worker_environment

        self.process = subprocess.Popen(
            [sys.executable, __file__, f"--only={net}", f"--batch={_BATCH.value}"]
            + [f"--worker={index}", f"--gradient_dtype={_GRADIENTS.value}"],
            env=worker_environment(addresses, index),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # before TensorFlow counts cores
        )

    def ask(self, mode, steps):
        print(mode, steps, file=self.process.stdin, flush=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with code {self.process.wait()}")
        return [float(seconds) for seconds in line.split()]


def measure(net, steps):
    """Of each mode the seconds a step on the clock and of a worker's processor, best of all rounds.

    The mean over the workers; those of one training differ by what they wait for each other.
    """
    from tfcnns.launch import free_addresses

    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit(f"two cores are needed, this process may use {len(cores)}")
    addresses = free_addresses(2)
    workers = [Worker(net, index, cores[index], addresses) for index in range(2)]
    best = {}
    try:
        for number in range(_ROUNDS.value + 1):  # the first traces, and doesn't count
            for mode in MODES[:: -1 if number % 2 else 1]:
                asked = workers[:1] if mode.startswith("one") else workers
                for worker in asked:
                    worker.ask(mode, steps if number else 1)
                spent = [sum(s) / len(s) for s in zip(*(w.answer() for w in asked), strict=True)]
                if number:
                    pairs = zip(best.get(mode, spent), spent, strict=True)
                    best[mode] = [min(pair) for pair in pairs]
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
    return best


def report(net, best):
    print(f"\n{net}, {_BATCH.value} images a step and worker")
    print(f"  {'':12s}  clock ms  images/s  processor ms")
    for mode in MODES:
        clock, processor = best[mode]
        workers = 1 if mode.startswith("one") else 2
        rate = "" if mode == "reduce" else f"{workers * _BATCH.value / clock:.1f}"
        print(f"  {mode:12s}{1e3 * clock:10.0f}{rate:>10s}{1e3 * processor:14.0f}")
    for index, kind in enumerate(("clock", "processor")):
        spent = {mode: pair[index] for mode, pair in best.items()}
        whole = spent["two+input"]
        shares = {
            "computing side by side": spent["apart"] - spent["one"],
            "exchange": spent["two"] - spent["apart"],
            "input": (whole - spent["two"]) - (spent["one+input"] - spent["one"]),
            "an all-reduce alone": spent["reduce"],
        }
        lost = ", ".join(f"{name} {seconds / whole:.3f}" for name, seconds in shares.items())
        print(f"  by {kind}: efficiency {spent['one+input'] / whole:.3f}; {lost}", flush=True)


def work(net, index, batch):
    """What a worker does: reads a mode and a number of steps, answers with seconds a step."""
    from tfcnns import cli

    cli.start_tensorflow(verbosity=0)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    from tfcnns.layers import xla_segments
    from tfcnns.training import make_strategy
    from tfcnns.training.exchange import exchange_in

    strategy = make_strategy("multiworker")
    xla_segments(True)
    with strategy.scope():
        together = compiled(net)
    exchange_in(together.optimizer, _GRADIENTS.value)
    alone = compiled(net)
    shapes = [weight.shape for weight in alone.trainable_weights]

    @tf.function
    def reduce():
        def replica():
            context = tf.distribute.get_replica_context()
            gradients = [tf.cast(tf.ones(shape), _GRADIENTS.value) for shape in shapes]
            sums = [tf.cast(one, tf.float32) for one in context.all_reduce("SUM", gradients)]
            return tf.add_n([tf.reshape(one, [-1])[0] for one in sums])

        return strategy.run(replica)

    datasets = {  # kept, and with them the functions that they are made of
        "one": lambda: still(alone, batch),
        "apart": lambda: still(alone, batch),
        "one+input": lambda: pipeline(net, batch, 0, 1),
        "two": lambda: spread(strategy, still(alone, batch)),
        "two+input": lambda: spread(strategy, pipeline(net, 2 * batch, index, 2)),
    }
    made = {}
    for line in sys.stdin:
        mode, steps = line.split()
        if mode == "reduce":
            times = []
            for _ in range(int(steps) + 1):
                reduce()
                times.append(now())
        else:
            if mode not in made:
                made[mode] = datasets[mode]()
            model = together if mode.startswith("two") else alone
            times = step_ends(model, made[mode], int(steps) + 1)
        clock, processor = ((b - a) / int(steps) for a, b in zip(times[0], times[-1], strict=True))
        print(clock, processor, flush=True)


def compiled(net):
    import keras

    from tfcnns import models
    from tfcnns.training import PaperSGD

    keras.utils.set_random_seed(0)
    model = getattr(models, net)()
    model.compile(PaperSGD(1e-4, weight_decay=5e-4), "sparse_categorical_crossentropy")
    return model


def step_ends(model, dataset, steps):
    """When each step of a `fit` ended; the first also starts the pipeline."""
    import keras

    ends = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(now())
    )
    model.fit(dataset, steps_per_epoch=steps, callbacks=[clock], shuffle=False, verbose=0)
    return ends


def now():
    """Seconds on the clock and of this process' threads."""
    return time.perf_counter(), time.process_time()


def still(model, batch):
    """The same batch over and over."""
    import tensorflow as tf

    images = tf.random.normal((batch, *model.input_shape[1:]))
    labels = tf.range(batch) % model.output_shape[-1]
    return tf.data.Dataset.from_tensors((images, labels)).repeat()


def pipeline(net, batch, worker, workers):
    """This worker's part of batches of decoded, cropped and mirrored noise."""
    import tensorflow as tf

    from tfcnns.pipelines import jpeg, transforms
    from tfcnns.pipelines.batches import batches
    from tfcnns.pipelines.source import Encoded

    size = 227 if net == "alexnet" else 32
    shape = (375, 500, 3) if net == "alexnet" else (40, 40, 3)
    noise = tf.random.stateless_uniform((16, shape[0] // 5, shape[1] // 5, 3), (0, 1), 0, 256)
    images = tf.cast(tf.image.resize(noise, shape[:2]), tf.uint8)
    files = tf.map_fn(tf.io.encode_jpeg, images, fn_output_signature=tf.string)

    def example(index, seed):
        crop, flip = transforms.split(seed, 2)
        if net == "alexnet":
            encoded = Encoded(files[index % 16], tf.constant("noise"))
            image = jpeg.random_crop(encoded, size, crop, square=True)
        else:
            image = jpeg.random_crop(images[index % 16], size, crop, short_side=40)
        return tf.cast(transforms.random_flip(image, flip), tf.float32) / 128 - 1, index % 10

    return batches(
        example, 64 * batch, batch, shuffle=True, epochs=10**4, worker=worker, workers=workers
    )


def spread(strategy, dataset):
    return strategy.distribute_datasets_from_function(lambda context: dataset)


def main(argv):
    del argv
    if _WORKER.value is not None:
        return work(_ONLY.value, _WORKER.value, _BATCH.value)
    print(
        f"{os.cpu_count()} CPU cores, best of {_ROUNDS.value} rounds, "
        f"gradients exchanged in {_GRADIENTS.value}",
        flush=True,
    )
    for net, steps in NETS.items():
        if _ONLY.value in net:
            report(net, measure(net, _STEPS.value or steps))


if __name__ == "__main__":
    app.run(main)
