"""Images with boxes in random access, as a `source.Source` of (image, boxes, labels).

image: uint8 (H, W, C), or `source.Encoded` for photographs; upright.
boxes: float32 (max_boxes, 4), x0, y0, x1, y1 in pixels of the upright image, inside it.
labels: int64 (max_boxes,), 0 to classes - 1; -1 where there is no box, which is zeros.
"""

import numpy as np
import tensorflow as tf

from tfcnns.errors import UserError

from .boxes import pad
from .source import Source, on_cpu


def from_scenes(images, boxes, labels, class_names, max_boxes=None):
    """The source of images in memory, each uint8 (H, W, C) with its boxes (n, 4), labels (n,).

    Where all images have one shape, it is known inside tf.data; else H and W are None there.

    Args:
        images, boxes, labels: lists of arrays, one of each per image.
        class_names: what the labels mean.
        max_boxes: see above; None for the largest number that an image has.
    Raises: UserError if an image has more than `max_boxes`.
    """
    shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 3)
    ends = on_cpu(np.cumsum([0, *(image.size for image in images)]))
    pixels = on_cpu(np.concatenate([image.ravel() for image in images]))
    same = (shapes == shapes[0]).all(axis=0)
    known = [int(side) if equal else None for side, equal in zip(shapes[0], same, strict=True)]
    shapes = on_cpu(shapes)

    def image(index):
        return tf.ensure_shape(
            tf.reshape(pixels[ends[index] : ends[index + 1]], shapes[index]), known
        )

    counts = [len(one) for one in labels]
    lookup = boxes_of(np.concatenate(boxes), np.concatenate(labels), counts, max_boxes)
    return Source(lambda index: (image(index), *lookup(index)), len(images), tuple(class_names))


def boxes_of(boxes, labels, counts, max_boxes=None, crowd=None):
    """lookup(index) -> padded boxes and labels of one image, and its crowd if given; for tf.data.

    boxes: (M, 4), labels: (M,) and crowd: bool (M,), those of all images one after another.
    counts: how many of them each image has. max_boxes: as for `from_scenes`.
    """
    counts = np.asarray(counts, np.int64)
    most = int(counts.max(initial=0))
    size = max(most, 1) if max_boxes is None else max_boxes
    if most > size:
        raise UserError(f"max_boxes must be at least {most}, what an image has. Received: {size}")
    boxes, labels = on_cpu(boxes, tf.float32), on_cpu(labels, tf.int64)
    crowd = None if crowd is None else on_cpu(crowd, tf.bool)
    ends = on_cpu(np.concatenate([[0], np.cumsum(counts)]))

    def lookup(index):
        first, last = ends[index], ends[index + 1]
        found = pad(boxes[first:last], labels[first:last], size)
        if crowd is None:
            return found
        room = size - tf.cast(last - first, tf.int32)
        return *found, tf.ensure_shape(tf.pad(crowd[first:last], [[0, room]]), [size])

    return lookup
