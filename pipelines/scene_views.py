"""What training sees of an image with boxes: a piece of fixed size, at some scale.

Image and boxes move together: scaled by z, then shifted so that the piece begins at (left, top)
of the scaled image, a point (x, y) comes to (z x - left, z y - top). Whatever part of the piece
lies beyond the image is filled with the image's mean. The filter is that of
`transforms.resize`. All functions are meant for tf.data.
"""

import tensorflow as tf

from .transforms import split

EMPTY = -1  # the label where there is no box, see `box_source`


def objects_alone(labels, crowd=None):
    """Labels (n,) with `EMPTY` where `crowd`, bool (n,), says that a box is no single object."""
    labels = tf.convert_to_tensor(labels)
    return labels if crowd is None else tf.where(crowd, tf.cast(EMPTY, labels.dtype), labels)


def scene_view(image, boxes, size, zoom, corner):
    """The piece of (size, size, C) that begins at `corner` of the image scaled by `zoom`.

    Args:
        image: uint8 (H, W, C), H and W may be unknown.
        boxes: float32 (n, 4), edges x0, y0, x1, y1 in pixels.
        size: side of the piece, pixels.
        zoom: float32 scalar, pixels of the piece per pixel of the image.
        corner: float32 (2,), left and top in scaled pixels; may be negative.

    Returns: image, float32 (size, size, C), 0 to 255, and boxes, float32 (n, 4), which may reach
        beyond the piece or lie outside of it.
    """
    image = tf.convert_to_tensor(image)
    pixels = tf.cast(image, tf.float32)
    mean = tf.reduce_mean(pixels, axis=(0, 1))
    # tf.image.resize with antialias is this op without a translation.
    piece = tf.raw_ops.ScaleAndTranslate(
        images=(pixels - mean)[None],
        size=[size, size],
        scale=tf.stack([zoom, zoom]),
        translation=-tf.reverse(corner, [0]),
        kernel_type="triangle",
        antialias=True,
    )[0]
    piece = tf.ensure_shape(piece + mean, [size, size, image.shape[-1]])
    return piece, boxes * zoom - tf.tile(corner, [2])


def random_view(image, boxes, size, scales, seed, jitter=0.0):
    """A piece of the image at one of the scales, from anywhere in it.

    Args:
        image, boxes, size: as in `scene_view`.
        scales: short sides of the image in pixels, each as likely as the others.
        seed: int32 (2,).
        jitter: the scale is multiplied by 1 - jitter to 1 + jitter.

    Along an axis on which the scaled image is smaller than the piece, it lies anywhere in the
    piece. Returns: as `scene_view`.
    """
    return scene_view(image, boxes, size, *_anywhere(image, size, scales, seed, jitter))


def mixed_view(image, boxes, labels, size, scales, seed, jitter=0.0, sides=(13, 32), about=0.5):
    """A piece from anywhere, as `random_view` has it, or one with an object of a useful size.

    Args:
        image, boxes, size, scales, seed, jitter: as in `random_view`.
        labels: int (n,), `EMPTY` where there is no object.
        sides: longer side in pixels that the object has in the piece, from .. to; its scale is
            not held to `scales`, but between the smallest and the largest.
        about: the part of the pieces that have such an object, anywhere in them.

    Returns: as `scene_view`.
    """
    choice, anywhere, which, factor, place = split(seed, 5)
    zoom, corner = _anywhere(image, size, scales, anywhere, jitter)
    places, count = _objects(labels)
    number = tf.random.stateless_uniform([], which, 0, tf.maximum(count, 1), tf.int32)
    # So that there is one to take.
    box = tf.concat([boxes, tf.ones([1, 4])], axis=0)[places[number]]
    longer = tf.maximum(tf.reduce_max(box[2:] - box[:2]), 1.0)
    short = tf.cast(tf.reduce_min(tf.shape(image)[:2]), tf.float32)
    own = tf.random.stateless_uniform([], factor, *map(float, sides)) / longer
    own = tf.clip_by_value(own, min(scales) / short, max(scales) / short)
    free = size - (box[2:] - box[:2]) * own  # of the piece's width and height
    begin = box[:2] * own - tf.random.stateless_uniform([2], place) * free
    use = (tf.random.stateless_uniform([], choice) < about) & (count > 0)
    zoom, corner = tf.where(use, own, zoom), tf.where(use, begin, corner)
    return scene_view(image, boxes, size, zoom, corner)


def object_view(image, boxes, labels, size, seed=None, fill=(0.45, 0.95), shift=0.2):
    """A piece about as large as one of the objects, and that object's label.

    Args:
        image, boxes, size: as in `scene_view`.
        labels: int (n,), `EMPTY` where there is no object.
        seed: int32 (2,) for an object, a scale and a place at random; None for the first object
            in the middle, at the middle of the scales.
        fill: the object's longer side, as a part of the piece's side, from .. to.
        shift: how far the object's centre lies from the middle at most, as a part of the side.

    Returns: image, float32 (size, size, C), and label, a scalar; of an image without boxes the
        whole, and `EMPTY`.
    """
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    # So that there is one to take.
    boxes = tf.concat([boxes, tf.zeros([1, 4])], axis=0)
    labels = tf.concat([labels, tf.constant([EMPTY], labels.dtype)], axis=0)
    places, count = _objects(labels[:-1])
    number, share, moved = tf.constant(0), tf.constant(sum(fill) / 2), tf.zeros(2)
    if seed is not None:
        which, factor, place = split(seed, 3)
        number = tf.random.stateless_uniform([], which, 0, tf.maximum(count, 1), tf.int32)
        share = tf.random.stateless_uniform([], factor, *fill)
        moved = tf.random.stateless_uniform([2], place, -shift, shift) * size
    number = places[number]
    box = tf.where(count > 0, boxes[number], tf.stack([0.0, 0.0, width, height]))
    zoom = share * size / tf.reduce_max(box[2:] - box[:2])
    corner = (box[:2] + box[2:]) / 2 * zoom - size / 2 + moved
    return scene_view(image, boxes, size, zoom, corner)[0], labels[number]


def _objects(labels):
    """Places of the objects, then the one behind the last label; and how many objects there are."""
    places = tf.where(labels != EMPTY)[:, 0]
    return tf.concat([places, [tf.size(labels, tf.int64)]], axis=0), tf.size(places)


def _anywhere(image, size, scales, seed, jitter):
    """Zoom and corner of `random_view`."""
    which, factor, place = split(seed, 3)
    number = tf.random.stateless_uniform([], which, 0, len(scales), tf.int32)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    zoom = tf.constant(scales, tf.float32)[number] / tf.reduce_min(shape)
    zoom *= tf.random.stateless_uniform([], factor, 1 - jitter, 1 + jitter)
    room = shape[::-1] * zoom - size  # of left and top
    return zoom, tf.random.stateless_uniform([2], place) * room
