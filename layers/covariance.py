"""Mean and covariance of a stream of images, in one pass."""

import math

import numpy as np

# Values in a block of rows: 32 MB of float64. A block is one matrix product, however small the
# batches are that it was gathered from.
_BLOCK = 1 << 22


def mean_and_covariance(data, axes):
    """Mean and covariance over all rows of `data`, read once and summed in float64.

    Sums of rows and of their outer products, with the mean of the first block subtracted before
    squaring, so that images with a large offset lose no digits.

    Args:
        data: images (N, H, W, C), or an iterable of such batches, a tf.data.Dataset for one;
            a batch may also be a tuple whose first entry is the images.
        axes: how many trailing axes make up a row. 1: each pixel is a row; 3: each image.

    Returns:
        (shape, mean, covariance): the shape of one row, its mean (D,) and its covariance (D, D)
        divided by the number of rows, in float64.

    Raises:
        ValueError: for batches of another rank or of changing row shapes, for no image at all
            and for values that are not finite.
    """
    shape, shift = None, None
    count, total, outer = 0, 0.0, 0.0
    for block in _blocks(data, axes):
        shape = block.shape[1:]
        rows = block.reshape(len(block), -1)
        if shift is None:
            shift = rows.mean(axis=0)
        rows -= shift
        count += len(rows)
        total += rows.sum(axis=0)
        outer += rows.T @ rows
    if not count:
        raise ValueError(f"Expected at least one image. Received: data={data!r}")
    offset = total / count
    return shape, shift + offset, outer / count - np.outer(offset, offset)


def _blocks(data, axes):
    """Yields the rows as (n, *row shape) in float64; small batches are gathered, large ones cut."""
    shape, held, size = None, [], 0
    for batch in [data] if hasattr(data, "shape") else data:
        images = np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch)
        if images.ndim != 4 or shape not in (None, images.shape[-axes:]):
            raise ValueError(
                "Expected batches of images (N, H, W, C)"
                + (f" with rows of shape {shape}" if shape else "")
                + f". Received: shape={images.shape}"
            )
        shape = images.shape[-axes:]
        rows = images.reshape(-1, *shape)
        limit = max(1, _BLOCK // math.prod(shape))
        for start in range(0, len(rows), limit):
            piece = rows[start : start + limit].astype("float64")
            if not np.isfinite(piece).all():
                raise ValueError("Expected finite values. Received: images with NaN or infinity")
            held.append(piece)
            size += len(piece)
            if size >= limit:
                yield np.concatenate(held)
                held, size = [], 0
    if held:
        yield np.concatenate(held)
