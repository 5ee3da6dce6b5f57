"""Where the windows of a dense map lie in the image."""

from keras import ops

from .geometry import Geometry, geometry


def window_boxes(model, image_shape, scaled_shape=None):
    """The rectangle that each position of a dense map is about, in pixels of the image.

    Position (i, j) of `dense_map(model, image)` is about the pixels
    image[y0:y1, x0:x1] with (x0, y0, x1, y1) = window_boxes(model, image.shape)[i, j]. With
    s the spacing, `geometry(model).step` or, where an offset has no room, `stride`:

        x0 = j s,   y0 = i s,   x1 = x0 + window,   y1 = y0 + window

    A map that was made of the image at another size has windows that are larger or smaller in
    the image, by the ratio of the sizes along each axis, and so has an image that was enlarged
    because it is smaller than a window. Edges, not centres, are scaled: the left edge of the
    first pixel is 0, the right edge of the last one is the width, at every size.

    Args:
        model: an OverFeat, or its `Geometry`.
        image_shape: (height, width) or (height, width, channels); integers, or tensors.
        scaled_shape: of the image that the map was made of, if it is another.

    Returns: (H', W', 4) float32, edges x0, y0, x1, y1; a map without padding="valid" has seen
        `geometry(model).context` pixels more around each window.
    """
    g = model if isinstance(model, Geometry) else geometry(model)
    size = g.fitted_shape(*_sides(image_shape if scaled_shape is None else scaled_shape))
    spacing = g.spacing(*size)
    rows, columns = (
        _edges(g.window, count, spacing, side, seen)
        for count, side, seen in zip(g.map_shape(*size), _sides(image_shape), size, strict=True)
    )
    (y0, y1), (x0, x1) = rows, columns
    shape = (ops.shape(y0)[0], ops.shape(x0)[0])
    edges = (x0[None, :], y0[:, None], x1[None, :], y1[:, None])
    return ops.stack([ops.broadcast_to(edge, shape) for edge in edges], axis=-1)


def boxes_in_pixels(windows, boxes):
    """A regressor's boxes, edges in units of their windows, as edges in pixels of the image.

        x = x0 + (x1 - x0) edge_x,   y = y0 + (y1 - y0) edge_y

    Args:
        windows: (H', W', 4) from `window_boxes`.
        boxes: (H', W', 4), or (H', W', classes, 4), from `dense_map`.

    Returns: of the shape of `boxes`, float32. Boxes may reach beyond the image.
    """
    if len(boxes.shape) == 4:
        windows = windows[:, :, None]
    corners = ops.reshape(boxes, (*ops.shape(boxes)[:-1], 2, 2))
    first = windows[..., None, :2]
    sides = windows[..., None, 2:] - first
    return ops.reshape(first + sides * ops.cast(corners, "float32"), ops.shape(boxes))


def _edges(window, count, spacing, side, seen):
    """Lower and upper edges of `count` windows along an axis of `side` pixels, seen as `seen`."""
    start = ops.arange(count) * spacing
    # In float64, the product first: an edge that is a whole number of pixels comes out as one.
    side, seen = (ops.cast(length, "float64") for length in (side, seen))
    return tuple(
        ops.cast(ops.cast(edge, "float64") * side / seen, "float32")
        for edge in (start, start + window)
    )


def _sides(shape):
    """Height and width: integers, if they are any kind of integer, or tensors."""
    sides = tuple(
        side if ops.is_tensor(side) and not hasattr(side, "numpy") else int(side)
        for side in shape[:2]
    )
    if len(sides) < 2 or any(isinstance(side, int) and side < 1 for side in sides):
        raise ValueError(f"an image has a height and a width of 1 or more. Received: {shape}")
    return sides
