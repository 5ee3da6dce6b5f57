"""Images with boxes in random access, as a `source.Source` of (image, boxes, labels).

image: uint8 (H, W, C), or `source.Encoded` for photographs; upright.
boxes: float32 (max_boxes, 4), x0, y0, x1, y1 in pixels of the upright image, inside it.
labels: int64 (max_boxes,), 0 to classes - 1; -1 where there is no box, which is zeros.

A source that knows of crowds has (image, boxes, labels, crowd), crowd bool (max_boxes,): boxes of
many objects at once, or of one too difficult to count. Found or not, they are neither right nor
wrong to the measures of detection, and in training neither an object nor background.
"""

import numpy as np
import tensorflow as tf

from tfcnns.errors import UserError

from .boxes import clean, log, pad
from .source import Source, on_cpu


def from_scenes(images, boxes, labels, class_names, max_boxes=None, crowd=None):
    """The source of images in memory, each uint8 (H, W, C) with its boxes (n, 4), labels (n,).

    Where all images have one shape, it is known inside tf.data; else H and W are None there.
    Boxes are cleaned as `boxes.clean` does, and what was wrong is told in the log.

    Args:
        images, boxes, labels: lists of arrays, one of each per image; no boxes are [].
        class_names: what the labels mean.
        max_boxes: see above; None for the largest number that an image has.
        crowd: a list of bool (n,), which of an image's boxes are crowds; None for a source
            without.
    Raises: UserError, naming the image by its place, for arrays of other shapes or types and
        labels without a name, and if an image has more than `max_boxes`.
    """
    images, boxes, labels, crowd = _checked(images, boxes, labels, crowd)
    shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 3)
    image_of = np.repeat(np.arange(len(images)), [len(one) for one in labels])
    boxes, labels = np.concatenate(boxes), np.concatenate(labels)
    boxes, kept, counts = clean(boxes, labels, shapes[image_of, :2], len(class_names))
    log(counts, len(labels), "boxes")
    counts = np.bincount(image_of[kept], minlength=len(images))
    crowd = None if crowd is None else np.concatenate(crowd)[kept]
    lookup = boxes_of(boxes, labels[kept], counts, max_boxes, crowd)

    ends = on_cpu(np.cumsum([0, *(image.size for image in images)]))
    pixels = on_cpu(np.concatenate([image.ravel() for image in images]))
    same = (shapes == shapes[0]).all(axis=0)
    known = [int(side) if equal else None for side, equal in zip(shapes[0], same, strict=True)]
    shapes = on_cpu(shapes)

    def image(index):
        return tf.ensure_shape(
            tf.reshape(pixels[ends[index] : ends[index + 1]], shapes[index]), known
        )

    return Source(lambda index: (image(index), *lookup(index)), len(images), tuple(class_names))


def _checked(images, boxes, labels, crowd):
    """The lists as arrays whose shapes belong together."""
    if not len(images) == len(boxes) == len(labels) or not len(images):
        raise UserError(
            "expected boxes and labels for every image, and one image at least. "
            f"Received: {len(images)} images, boxes of {len(boxes)}, labels of {len(labels)}"
        )
    images = [np.asarray(image) for image in images]
    boxes = [np.asarray(one, np.float64) if np.size(one) else np.zeros((0, 4)) for one in boxes]
    labels = [np.asarray(one, np.int64).ravel() for one in labels]
    for i, (image, box, label) in enumerate(zip(images, boxes, labels, strict=True)):
        if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] != images[0].shape[2]:
            raise UserError(
                f"image {i} must be uint8 (H, W, C), 0 to 255, with C as in the first. "
                f"Received: {image.dtype} {image.shape}"
            )
        if box.shape != (len(label), 4):
            raise UserError(
                f"boxes of image {i} must be ({len(label)}, 4), a box for each of its labels. "
                f"Received: {box.shape}"
            )
    if crowd is not None:
        crowd = [np.asarray(one, bool).ravel() for one in crowd]
        flags, wanted = ([len(one) for one in many] for many in (crowd, labels))
        if flags != wanted:
            raise UserError(
                "expected a flag in crowd for every label of every image. "
                f"Received: {flags} flags, {wanted} labels"
            )
    return images, boxes, labels, crowd


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
