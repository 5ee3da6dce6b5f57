"""The weights that OverFeat's authors released, read from their flat files."""

import os

import keras
import numpy as np

from tfcnns.errors import UserError

RELEASED = {
    145_920_872: "net_weight_0, the fast net",
    144_656_488: "net_weight_1, the accurate net",
}


def load_overfeat_weights(model, path, class_numbers=None):
    """Gives `model` the weights in the authors' file `path`: net_weight_0 or net_weight_1.

    The file is float32 numbers, little endian, and nothing else: for every layer in order the
    weights in Torch's memory order (output, input, row, column), then the biases. It is mapped
    into memory and read twice: all of it is checked before the first weight changes.

    The released nets take RGB pixels less their mean (`overfeat_preprocessing`), and have Torch's
    Threshold(0, 1e-6) for a ReLU:

        model = overfeat(activation="threshold", preprocessing=overfeat_preprocessing())
        load_overfeat_weights(model, "data/default/net_weight_0")

    Args:
        model: `overfeat("fast")` or `overfeat("accurate")` with a classifier; a model of other
            width, classes or channels takes a file of its own size in the same order. A box
            regressor keeps its weights: none were released.
        path: the file.
        class_numbers: for each class of the model its number in the file, a permutation; None
            for the file's own order, in which class 0 is kit fox, as in the challenge's
            development kit. Data sets and Caffe's nets go by WordNet identifier, from tench on:
            `tfcnns.pipelines.imagenet_classes` has both orders.

    Raises: UserError, naming the file, if it can't be read, has another size, or holds numbers
        that are not finite; naming the model, if it isn't such a net. The model is as before.
        ValueError for `class_numbers` that are no permutation of the model's classes.

    Source: jhjin/overfeat-torch, run.lua, which gives the place of every layer in both files
    (the last 1,000 biases start at number 145,919,872 and 144,655,488); sermanet/OverFeat,
    src/overfeat.cpp (float32, read in place) and src/modules.hpp (weight sizes 2 and 3 are rows
    and columns, correlated, not flipped).
    """
    layers = _convolutions(model)
    classes = layers[-1].filters
    if class_numbers is not None and sorted(class_numbers) != list(range(classes)):
        raise ValueError(
            f"`class_numbers` must hold each of 0 to {classes - 1} once. "
            f"Received: {len(class_numbers)} numbers"
        )
    values = _map(path, model.name, sum(layer.count_params() for layer in layers))
    found = []
    start = 0
    for layer in layers:
        rows, columns, inputs, outputs = layer.kernel.shape
        middle = start + outputs * inputs * rows * columns
        weights = values[start:middle].reshape(outputs, inputs, rows, columns)
        biases = values[middle : middle + outputs]
        start = middle + outputs
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            raise UserError(f"{path} is damaged: numbers of {layer.name} are not finite")
        found.append((weights, biases))
    if class_numbers is not None:
        found[-1] = tuple(array[list(class_numbers)] for array in found[-1])
    for layer, (weights, biases) in zip(layers, found, strict=True):
        layer.set_weights([np.transpose(weights, (2, 3, 1, 0)), biases])


def overfeat_preprocessing():
    """The released nets' normalisation of RGB pixels in 0..255, as layers for `overfeat`.

    (pixel - 118.380948) / 61.896913: one mean and one deviation for all channels.
    """
    scale = 1 / 61.896913
    # In float32 under mixed precision too: 255 has one digit behind the point in bfloat16.
    return [keras.layers.Rescaling(scale, -118.380948 * scale, name="normalize", dtype="float32")]


def _convolutions(model):
    """The model's layers in the order of the files: all convolutions, then all dense layers."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    names = [layer.name for layer in layers]
    depth = sum(name.startswith("conv") for name in names)
    expected = [f"conv{i}" for i in range(1, depth + 1)]
    expected += [f"fc{i}" for i in range(depth + 1, len(names) + 1)]
    if names != expected or depth == len(names):
        raise UserError(
            f"model {model.name} isn't an overfeat with a classifier: "
            "expected conv1, conv2, ..., then fc layers numbered on, and found "
            f"{', '.join(names) or 'no convolutions'}"
        )
    return layers


def _map(path, name, count):
    """The float32 numbers of the file, not yet read; refuses any other number than `count`."""
    try:
        size = os.stat(path).st_size
        values = np.memmap(path, "<f4", "r", shape=(size // 4,)) if size >= 4 else ()
    except OSError as error:
        raise UserError(f"can't read weights {path}: {error.strerror}") from error
    if size != 4 * count:
        known = RELEASED.get(size / 4)
        raise UserError(
            f"{path} has {size:,} bytes{f' ({known})' if known else ''}; "
            f"model {name} takes {count:,} float32 numbers, {4 * count:,} bytes"
        )
    return values
