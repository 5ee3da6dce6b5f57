"""Step times on clusters nobody had: computing, all-reduce, and where more GPUs stop helping.

    python benchmarks/scaling_model.py [--images_per_second=3300] [--node_gbytes=7] ...

The model: a GPU computes a step of b images in b / rate seconds. Gradients go around one ring of n
GPUs, 2 (n - 1) steps of bytes / n each; in a ring every machine's network carries the whole ring
once, so the slowest link counts, which is the network from the second machine on:

    exchange = 2 (n - 1) / n * bytes / bandwidth + 2 (n - 1) * latency

A step takes computing + exchange where nothing overlaps, and max(computing, exchange) where all of
it does. Real steps lie between. Left out: input, stragglers, batches too small to fill a GPU.

Weak: each GPU has `batch` images. Strong: all of them share `global_batch`. Efficiency is one GPU's
time for its share of the images over the step's, as a range from no overlap to all. docs/scaling.md
says where the defaults come from and what they assume.
"""

from absl import app, flags

_RATE = flags.DEFINE_float("images_per_second", 3300.0, "that one GPU trains on")
_PARAMETERS = flags.DEFINE_integer("parameters", 60_965_224, "of the net")
_BYTES = flags.DEFINE_integer("bytes_per_number", 4, "of a gradient on its way; 2 in float16")
_PER_NODE = flags.DEFINE_integer("gpus_per_node", 8, "GPUs of a machine")
_LINK = flags.DEFINE_float("link_gbytes", 150.0, "GB/s between a machine's GPUs, one way")
_NODE = flags.DEFINE_float("node_gbytes", 7.0, "GB/s between machines, one way, of a machine")
_LATENCY = flags.DEFINE_float("latency_us", 5.0, "microseconds of a step of the ring")
_BATCH = flags.DEFINE_integer("batch", 128, "images per GPU, weak scaling")
_GLOBAL = flags.DEFINE_integer("global_batch", 8192, "images of all GPUs, strong scaling")
_GPUS = flags.DEFINE_list("gpus", ["8", "64", "512"], "how many")


def exchange(gpus, size, bandwidth, latency):
    """Seconds of a ring all-reduce.

    Args:
        gpus: n. size: bytes of all gradients. bandwidth: bytes a second of the slowest link, one
            way. latency: seconds of each of the ring's 2 (n - 1) steps.
    """
    return 2 * (gpus - 1) * (size / gpus / bandwidth + latency)


def steps(images, rate, exchanged):
    """Seconds of a step of `images` per GPU: (all of the exchange overlapped, none of it)."""
    computing = images / rate
    return max(computing, exchanged), computing + exchanged


def useful_gpus(global_batch, rate, exchanged):
    """GPUs at which computing takes no longer than the exchange: more make steps little shorter."""
    return global_batch / (rate * exchanged)


def table(rate, size, per_node, link, node, latency, batch, global_batch, gpus):
    """Rows of text, as in docs/scaling.md; units of bytes and seconds."""
    lines = [
        "| GPUs | exchange, ms | weak: step, ms | efficiency | strong: step, ms | efficiency |",
        "|---|---|---|---|---|---|",
    ]
    for n in gpus:
        exchanged = exchange(n, size, link if n <= per_node else node, latency)
        cells = [str(n), f"{1e3 * exchanged:.1f}"]
        for images in (batch, global_batch / n):
            least, most = steps(images, rate, exchanged)
            cells.append(f"{1e3 * least:.1f} to {1e3 * most:.1f}")
            cells.append(f"{images / rate / most:.2f} to {images / rate / least:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main(argv):
    del argv
    size = _PARAMETERS.value * _BYTES.value
    where = {
        "rate": _RATE.value,
        "size": size,
        "per_node": _PER_NODE.value,
        "link": 1e9 * _LINK.value,
        "node": 1e9 * _NODE.value,
        "latency": 1e-6 * _LATENCY.value,
        "batch": _BATCH.value,
        "global_batch": _GLOBAL.value,
    }
    print(f"{size / 1e6:.1f} MB of gradients, {_RATE.value:g} images/s a GPU")
    print("\n".join(table(**where, gpus=[int(n) for n in _GPUS.value])))
    across = exchange(10**6, size, where["node"], 0.0)
    count = useful_gpus(_GLOBAL.value, _RATE.value, across)
    print(
        f"{_GLOBAL.value} images a step: computing and exchange take the same at {count:.0f} GPUs"
    )


if __name__ == "__main__":
    app.run(main)
