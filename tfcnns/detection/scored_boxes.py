"""What merging and suppression ask of their boxes and scores, the same checks for both."""

import tensorflow as tf

LARGEST = 1e9  # pixels; areas and their sums stay far from the end of float32


def checked(boxes, scores, classes=None):
    """Boxes, scores and classes as tensors.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,) or (N, C).
        classes: (N,) integers; None makes them zeros.

    Returns: boxes and scores, each float64 if it was and float32 if not, and classes.
    Raises: ValueError; inside a graph, where values come later, an assertion of the same text.
    """
    boxes, scores = _floats("boxes", boxes), _floats("scores", scores)
    if boxes.shape.rank != 2 or boxes.shape[1] not in (4, None):
        raise ValueError(f"`boxes` must have the shape (N, 4). Received: shape {boxes.shape}")
    if scores.shape.rank not in (1, 2) or (scores.shape.rank == 2 and scores.shape[1] == 0):
        raise ValueError(
            f"`scores` must have the shape (N,) or (N, C). Received: shape {scores.shape}"
        )
    count = tf.shape(boxes)[0]
    if classes is None:
        classes = tf.zeros(count, tf.int32)
    classes = tf.convert_to_tensor(classes)
    if classes.shape.rank != 1 or not (classes.dtype.is_integer or classes.shape[0] == 0):
        raise ValueError(
            "`classes` must be integers of the shape (N,). "
            f"Received: {classes.dtype.name} of shape {classes.shape}"
        )
    for name, values in (("scores", scores), ("classes", classes)):
        if not boxes.shape[:1].is_compatible_with(values.shape[:1]):
            raise ValueError(
                f"`{name}` must be as many as `boxes`. "
                f"Received: {boxes.shape[0]} boxes, {values.shape[0]} {name}"
            )
    finite = tf.math.is_finite(scores)
    if scores.shape.rank == 2:
        finite = tf.reduce_all(finite, axis=1)
    with tf.control_dependencies(
        [
            _require(count == tf.shape(scores)[0], "`scores` must be as many as `boxes`", scores),
            _require(
                count == tf.shape(classes)[0], "`classes` must be as many as `boxes`", classes
            ),
            _require(
                tf.reduce_all(tf.abs(boxes) <= LARGEST, axis=1),
                f"`boxes` must be finite and below {LARGEST:.0e}",
                boxes,
            ),
            _require(
                tf.reduce_all(boxes[:, :2] <= boxes[:, 2:], axis=1),
                "`boxes` must have x0 <= x1 and y0 <= y1",
                boxes,
            ),
            _require(finite, "`scores` must be finite", scores),
        ]
    ):
        boxes = tf.ensure_shape(boxes, (None, 4))
        return boxes, tf.identity(scores), tf.identity(classes)


def _floats(name, values):
    try:
        values = tf.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be an array of numbers. {error}") from error
    if not (values.dtype.is_floating or values.dtype.is_integer):
        raise ValueError(f"`{name}` must be numbers. Received: dtype {values.dtype.name}")
    return values if values.dtype == tf.float64 else tf.cast(values, tf.float32)


def _require(fine, message, values):
    """One line if anything isn't `fine`, with the first of `values` that is to blame."""
    if not tf.executing_eagerly():
        return tf.debugging.Assert(tf.reduce_all(fine), [message])
    if tf.reduce_all(fine):
        return None
    i = int(tf.argmin(tf.cast(fine, tf.int32)))
    raise ValueError(f"{message}. Received: {values[i].numpy().tolist()} at {i}")
