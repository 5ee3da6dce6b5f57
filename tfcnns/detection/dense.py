"""An OverFeat slid over a whole image at one scale (sections 3.3 and 3.5)."""

import inspect
import math
import weakref

import tensorflow as tf
from keras import ops

from tfcnns.layers import BoxRegressor, OffsetMaxPool
from tfcnns.pipelines.transforms import resize

from .geometry import geometry, take_apart
from .wide_conv import is_wide, wide_conv

TILE_PIXELS = 1 << 20  # that go through the net at once, of all images of a batch together

_NETS = weakref.WeakKeyDictionary()  # a DenseNet knows the layers, not the model: that may go


def dense_map(model, image):
    """The outputs of all windows of an image, at every offset of the last pool, as one map.

    Section 3.3: the trunk runs once over the image; the last pool of p x p cells at each offset
    (dy, dx) in {0 .. p - 1}^2; the head over all p^2 pooled maps in one batch; and

        map[p i + dy, p j + dx] = head_{dy, dx}[i, j]

    `window_boxes(model, image.shape)` has the window of each position.

    Args:
        model: an OverFeat, or any model with a `geometry`.
        image: (H, W, C), whole numbers or floats, an array or a tensor; H and W may be unknown
            inside a graph. Values go to the model as they are, so what it was trained with
            belongs into the model (`overfeat(preprocessing=...)`).

    Returns: (H', W', classes) for a classifier, (H', W', 4) or (H', W', classes, 4) for a
        regressor, in units of the window as the model has them, and a dict of "classifier" and
        "boxes" for both. H', W' are `geometry(model).map_shape(H, W)`, from p x p windows on.

        A side below `geometry(model).smallest` (accurate: 245, fast: 247, digits: 36 pixels) has
        no room for every offset: the map is that of offset 0 alone. An image smaller than the
        window is enlarged first until its shorter side is one window. At the right and bottom,
        up to stride - 1 pixels that don't fill another stride belong to no window.

    Raises: ValueError for images of other ranks, types or channels, and as `geometry`.
    """
    net = dense_net(model)
    maps = net(net.fitted(image)[None])
    maps = {name: values[0] for name, values in maps.items()}
    return maps if isinstance(model.output, dict) else next(iter(maps.values()))


def dense_net(model):
    """The model's `DenseNet`, made once for as long as the model lives."""
    if model not in _NETS:
        _NETS[model] = DenseNet(model)
    return _NETS[model]


class DenseNet:
    """The layers of an OverFeat, ready to slide over images of any size.

    It is traced once for each choice of heads, whatever sizes follow; weights are the model's
    own variables, so that training goes on to be seen. Images of more than TILE_PIXELS pixels
    go through in tiles, which overlap by their windows and by what padded layers see around them,
    so that the map is the same; inside a graph that doesn't know their size they can't.

    Args:
        model: as in `geometry`.
    """

    def __init__(self, model):
        self.geometry = geometry(model)
        self._trunk, self._pool, self.heads = take_apart(model)
        self._offset_pool = OffsetMaxPool(
            self.geometry.pool, data_format="channels_last", dtype=self._pool.dtype_policy
        )
        self._compiled = {}

    def __call__(self, images, heads=None):
        """Dense maps of a batch of images of one size, at least one window.

        Args:
            images: (N, H, W, C) float32.
            heads: names of heads, "classifier" and "boxes"; None for all that there are.

        Returns: a dict of one map for each, (N, H', W', ...).
        """
        heads = tuple(self.heads) if heads is None else tuple(heads)
        for name in heads:
            if name not in self.heads:
                raise ValueError(
                    f"the model has the outputs {tuple(self.heads)}. Received: {name!r}"
                )
        if heads not in self._compiled:
            shape = (None, None, None, self.geometry.channels)
            signature = [tf.TensorSpec(shape, tf.float32), tf.TensorSpec((4,), tf.int32)]
            self._compiled[heads] = tf.function(
                lambda images, trim: self._slide(images, trim, heads),
                input_signature=signature,
                autograph=False,
            )
        slide = self._compiled[heads]
        batch, height, width = images.shape[:3]
        if None in (batch, height, width) or batch * height * width <= TILE_PIXELS:
            return slide(images, (0, 0, 0, 0))
        rows, columns = self._tiles(height, width, TILE_PIXELS // batch)
        strips = [
            [
                slide(images[:, top:bottom, left:right], (above, below, before, behind))
                for left, right, before, behind in columns
            ]
            for top, bottom, above, below in rows
        ]
        return {
            name: ops.concatenate(
                [ops.concatenate([tile[name] for tile in strip], axis=2) for strip in strips],
                axis=1,
            )
            for name in heads
        }

    def fitted(self, image):
        """The image as a float32 tensor (H, W, C), enlarged to a window if it is smaller.

        Raises: ValueError if it is no image, or has other channels than the model's.
        """
        image = self.checked(image)
        size = ops.shape(image)[:2]
        fitted = self.geometry.fitted_shape(*size)
        known = all(isinstance(side, int) for side in size)
        if not known or fitted != size:  # resizing to the same size changes nothing
            image = resize(image, *fitted)
        return ops.cast(image, "float32")

    def checked(self, image):
        """The image as a tensor (H, W, C), whole numbers or floats; raises as `fitted`."""
        image = ops.convert_to_tensor(image)
        channels = self.geometry.channels
        if len(image.shape) != 3 or image.shape[-1] != channels or 0 in image.shape:
            raise ValueError(
                f"expected an image of shape (height, width, {channels}). "
                f"Received: shape={tuple(image.shape)}"
            )
        if not (image.dtype.is_integer or image.dtype.is_floating):
            raise ValueError(
                f"expected an image of whole numbers or floats. Received: dtype={image.dtype.name}"
            )
        return image

    def _slide(self, images, trim, heads):
        maps = _run(self._trunk, images)  # (N, m, l, C')
        top, bottom, left, right = tf.unstack(trim)
        rows, columns = ops.shape(maps)[1:3]
        maps = maps[:, top : rows - bottom, left : columns - right]
        pooled, offsets = self._pool_offsets(maps)  # (N offsets^2, h + head - 1, ..., C')
        return {name: _interleave(_run(self.heads[name], pooled), offsets) for name in heads}

    def _pool_offsets(self, maps):
        """Pooled maps of all offsets, or of offset 0 if the last has no room; and how many."""
        pool = self.geometry.pool
        smallest = (self.geometry.head + 1) * pool - 1  # cells
        rows, columns = ops.shape(maps)[1:3]
        every = ops.logical_and(rows >= smallest, columns >= smallest)
        pooled = ops.cond(every, lambda: self._offset_pool(maps), lambda: self._pool(maps))
        return pooled, ops.where(every, pool, 1)

    def _tiles(self, height, width, pixels):
        """For rows and columns: pixels of each tile, and cells at its ends that are others'."""
        rows = min(height, math.isqrt(pixels))
        columns = min(width, pixels // rows)
        rows = min(height, pixels // columns)  # more, where the image is narrow
        spacing = self.geometry.spacing(height, width)
        return self._spans(height, rows, spacing), self._spans(width, columns, spacing)

    def _spans(self, length, most, spacing):
        g = self.geometry
        offsets = g.stride // spacing
        around = -(-g.context // g.step)  # cells
        window = g.window + (offsets - 1) * g.step  # the windows of all offsets
        count = (length - window) // g.stride + 1
        several = max(1, (most - window - 2 * around * g.step) // g.stride + 1)
        spans = []
        for first in range(0, count, several):
            last = min(first + several, count) - 1
            before = min(first * g.pool, around)
            start = first * g.stride - before * g.step
            end = min(last * g.stride + window + around * g.step, length)
            behind = (end - last * g.stride - window) // g.step
            spans.append((start, end, before, behind))
        return spans


def _run(layers, x):
    for layer in layers:
        if isinstance(layer, BoxRegressor):
            x = _run(layer.convs, x)
            if layer.classes is not None:
                x = ops.reshape(x, (*ops.shape(x)[:-1], layer.classes, 4))
        elif is_wide(layer):
            x = wide_conv(layer, x)
        elif "training" in inspect.signature(layer.call).parameters:
            x = layer(x, training=False)
        else:
            x = layer(x)
    return x


def _interleave(maps, offsets):
    """(N q q, h, w, ...) -> (N, h q, w q, ...) with [q i + dy, q j + dx] from offset (dy, dx)."""
    batch, h, w = ops.shape(maps)[:3]
    rest = maps.shape[3:]
    batch //= offsets * offsets
    maps = ops.reshape(maps, (batch, offsets, offsets, h, w, *rest))
    order = (0, 3, 1, 4, 2, *range(5, 5 + len(rest)))
    return ops.reshape(ops.transpose(maps, order), (batch, h * offsets, w * offsets, *rest))
