"""Weights of Caffe's model zoo in our AlexNet and Network in Network."""

import math
from typing import NamedTuple

import keras
import numpy as np

from tfcnns.errors import UserError
from tfcnns.layers import MLPConv, TowerConv, TowerDense
from tfcnns.models.caffemodel import read_caffemodel

MEAN_RGB = (122.67891434, 116.66876762, 104.00698793)


def load_caffe_weights(model, path, channel_order="bgr"):
    """Gives `model` the weights in `path`, the .caffemodel of the same net.

    Layers are matched by name: conv1, fc6, ... by their own; the first layer of the i-th
    `MLPConv` is convi, and the 1x1 layers of all of them are cccp1, cccp2, ... What follows a
    hyphen in the file ("conv4-1024" in nin_imagenet) doesn't count. Kernels are transposed; a
    grouped convolution's are shared out among the towers; the first dense layer's inputs are put
    from Caffe's order (channel, row, column) into ours (row, column, channel). All of the file
    is checked before the first weight changes.

    The model keeps taking RGB: conv1's input channels are turned around. Caffe's nets for
    ImageNet see BGR pixels in 0..255 less the mean image, not scaled; `caffe_preprocessing` is
    that with the mean of all pixels. CIFAR's files are RGB (the zoo's NIN: after global contrast
    normalisation and whitening of its own).

    Args:
        model: one with the layers and sizes of the file's net. To compute the same too:
            bvlc_alexnet is `alexnet(lrn={"alpha": 2e-5, "bias": 1.0})`, CaffeNet
            (bvlc_reference_caffenet) is that with order="caffenet"; the zoo's NIN are
            `nin_imagenet()` and `nin_cifar10(pool2="average")`.
        path: the file, of any generation of the format.
        channel_order: of the images that the file's net was trained on: "bgr", or "rgb", which
            leaves conv1 as it is.

    Raises:
        UserError: naming the file, if `read_caffemodel` refuses it, if it lacks a layer, has one
            too many or of another shape, or holds numbers that are not finite; naming the model,
            if it has layers that Caffe's nets don't have. The model is as before.
        ValueError: for another `channel_order`.

    Source: BVLC/caffe, models/bvlc_alexnet and src/caffe; the model zoo's NIN by M. Lin (names
    and sizes as in public copies of their prototxt files; neither caffemodel was at hand).
    """
    if channel_order not in ("bgr", "rgb"):
        raise ValueError(
            f'`channel_order` must be "bgr" or "rgb". Received: channel_order={channel_order!r}'
        )
    found = []
    blobs = {name.split("-")[0]: arrays for name, arrays in read_caffemodel(path).items()}
    for target in _targets(model):
        if target.name not in blobs:
            raise UserError(f"{path} lacks layer {target.name} of model {model.name}")
        weights, *biases = _checked(path, model, target, blobs.pop(target.name))
        if target.name == "conv1" and weights.shape[1] == 3 and channel_order == "bgr":
            weights = weights[:, ::-1]
        if target.flattened:
            weights = _channels_last(weights, target.flattened)
        kernel = np.transpose(weights, (2, 3, 1, 0) if weights.ndim == 4 else (1, 0))
        towers = len(target.layers)
        shares = [np.split(array, towers, axis=-1) for array in (kernel, *biases)]
        found += zip(target.layers, zip(*shares, strict=True), strict=True)
    if blobs:
        raise UserError(f"{path} has layers that model {model.name} lacks: {', '.join(blobs)}")
    for layer, arrays in found:
        layer.set_weights(arrays)


def caffe_preprocessing():
    """The mean of ImageNet's pixels taken off RGB images in 0..255, as layers for the builders.

    It is the mean over the image of Caffe's ilsvrc_2012_mean.npy.
    """
    offset = [-mean for mean in MEAN_RGB]
    return [keras.layers.Rescaling(1.0, offset, name="subtract_mean", dtype="float32")]


class _Target(NamedTuple):
    name: str  # Caffe's
    layers: list  # of Conv2D or Dense, one for each tower
    flattened: tuple = ()  # (h, w, C) of the maps that a dense layer sees flattened

    @property
    def shapes(self):
        """What Caffe calls the shapes of weights and biases."""
        *window, inputs, _ = self.layers[0].kernel.shape
        outputs = sum(layer.kernel.shape[-1] for layer in self.layers)
        weights = (outputs, inputs, *window)
        return [weights, (outputs,)] if self.layers[0].use_bias else [weights]


def _targets(model):
    """The model's layers that have weights, under Caffe's names."""
    targets, flattened = [], ()
    stages = cccps = 0
    for layer in model.layers:
        if isinstance(layer, MLPConv):
            stages += 1
            conv, *others = layer.convs
            targets.append(_Target(f"conv{stages}", [conv]))
            targets += [_Target(f"cccp{cccps + i}", [c]) for i, c in enumerate(others, start=1)]
            cccps += len(others)
        elif isinstance(layer, TowerConv):
            targets.append(_Target(layer.name, layer.convs))
        elif isinstance(layer, keras.layers.Conv2D):
            targets.append(_Target(layer.name, [layer]))
        elif isinstance(layer, (TowerDense, keras.layers.Dense)):
            denses = layer.denses if isinstance(layer, TowerDense) else [layer]
            targets.append(_Target(layer.name, denses, flattened))
            flattened = ()
        elif isinstance(layer, keras.layers.Flatten):
            flattened = layer.input.shape[1:]
        elif layer.trainable_weights:
            raise UserError(f"model {model.name} has a layer {layer.name}: no Caffe net of ours")
    return targets


def _checked(path, model, target, blobs):
    """The blobs with the shapes that the target has, or UserError."""
    # Files of before 2015 have four sizes for everything, with ones in front.
    shapes = [blob.shape for blob in blobs]
    arrays = []
    for blob, shape in zip(blobs, target.shapes, strict=False):
        spare = blob.ndim - len(shape)
        if spare > 0 and math.prod(blob.shape[:spare]) == 1:
            blob = blob.reshape(blob.shape[spare:])
        arrays.append(blob)
    if [array.shape for array in arrays] != target.shapes or len(blobs) != len(arrays):
        raise UserError(
            f"{path} doesn't fit model {model.name}: layer {target.name} has "
            f"{' and '.join(map(str, shapes))}, expected {' and '.join(map(str, target.shapes))}"
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(f"{path} is damaged: numbers of layer {target.name} are not finite")
    return arrays


def _channels_last(weights, maps):
    """Dense weights (units, C h w), for maps flattened by Caffe, as (units, h w C)."""
    rows, columns, channels = maps
    weights = weights.reshape(-1, channels, rows, columns)
    return np.transpose(weights, (0, 2, 3, 1)).reshape(len(weights), -1)
