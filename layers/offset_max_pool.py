"""Max-pooling at every offset (OverFeat, section 3.3)."""

import keras
from keras import ops

from .hyperparameters import whole
from .layout import (
    from_channels_last,
    on_any_batch,
    resolve_data_format,
    shape_from_channels_last,
    shape_to_channels_last,
    to_channels_last,
)


@keras.saving.register_keras_serializable(package="tfcnns")
class OffsetMaxPool(keras.layers.Layer):
    """Non-overlapping max-pooling, once for each of the p x p places its grid can start at.

    Section 3.3 of Sermanet et al., steps (b) and (c), with p the pool size; for image n, offset
    (dy, dx) in {0 .. p - 1}^2 and pooled position (i, j):

        y[(n p + dy) p + dx, i, j, c] = max_{a, b in 0 .. p - 1} x[n, p i + dy + a, p j + dx + b, c]

    The p^2 pooled maps of an image follow each other in the batch, offsets in row-major order, all
    of the size that the last offset has room for. A classifier then sees all of them in one call,
    and output [i, j] of offset (dy, dx) belongs at [p i + dy, p j + dx] of the fine map.

    Args:
        pool_size: p, pixels. The paper's accurate net: 3, for 12 px between windows, not 36.
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first; H and W may be unknown.
    Output shape: (N p^2, h, w, C), or (N p^2, C, h, w), with h = (H - p + 1) // p and w alike.

    Raises:
        ValueError: for a pool size that is no positive integer, and for an input known to be
            smaller than 2 p - 1, where the last offset has no room.

    Example:
        >>> maps = keras.Input((20, 23, 1024), batch_size=1)
        >>> OffsetMaxPool(3)(maps).shape
        (9, 6, 7, 1024)

    Source: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks", ICLR 2014 (arXiv 1312.6229),
    section 3.3 and figure 3.
    """

    def __init__(self, pool_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = whole("pool_size", pool_size)
        self.data_format = resolve_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)  # refuses what is too small

    def call(self, inputs):
        p = self.pool_size
        # Every window of every offset, in place; then the grid of each offset is picked out.
        x = to_channels_last(inputs, self.data_format)
        x = on_any_batch(self._dense_pool, x)  # (N, H - p + 1, W - p + 1, C)
        n, height, width, channels = ops.shape(x)
        h, w = height // p, width // p
        x = ops.reshape(x[:, : h * p, : w * p], (n, h, p, w, p, channels))
        x = ops.transpose(x, (0, 2, 4, 1, 3, 5))  # (N, dy, dx, h, w, C)
        x = ops.reshape(x, (n * p * p, h, w, channels))
        return from_channels_last(x, self.data_format)

    def _dense_pool(self, x):
        return ops.max_pool(x, self.pool_size, 1, "valid", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        p = self.pool_size
        n, *sizes, channels = shape_to_channels_last(input_shape, self.data_format)
        if any(size is not None and size < 2 * p - 1 for size in sizes):
            raise ValueError(
                f"`OffsetMaxPool({p})` needs maps of {2 * p - 1} x {2 * p - 1} or more. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        pooled = [None if size is None else (size - p + 1) // p for size in sizes]
        shape = (None if n is None else n * p * p, *pooled, channels)
        return shape_from_channels_last(shape, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "data_format": self.data_format,
        }
