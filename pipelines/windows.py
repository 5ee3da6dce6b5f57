"""A window of a resized image, made from those pixels of the image that it shows.

Resizing first and cropping then makes many pixels that nobody looks at; cropping first and
resizing then gives others, wrong along the borders of the crop and shifted by a part of a
pixel. These functions give each pixel of the window the weights that it has in the whole
resized image: the same picture, up to one grey level where rounding falls the other way.
"""

import tensorflow as tf


def source_box(shape, scale, corner, size):
    """Where the pixels lie that a window is made from.

    Args:
        shape: int32 (2,), rows and columns of the image.
        scale: float32 (2,), rows and columns of the resized image over those of the image.
        corner: int32 (2,), where in the resized image the window begins.
        size: rows and columns of the window, one number or a pair.

    Returns: begin and end, int32 (2,), in the image; end is exclusive.
    """
    corner = tf.cast(corner, tf.float32)
    reach = tf.maximum(1 / scale, 1.0)  # radius of the filter of `transforms.resize`
    first = (corner + 0.5) / scale - reach
    last = (corner + size - 0.5) / scale + reach
    begin = tf.maximum(tf.cast(tf.floor(first), tf.int32), 0)
    return begin, tf.minimum(tf.cast(tf.math.ceil(last), tf.int32), shape)


def sample(pixels, begin, scale, corner, size):
    """The window, uint8 (rows, columns, C), from the pixels of its `source_box`.

    pixels: uint8 (h, w, C), the image from `begin` on. The rest as in `source_box`.
    """
    # In the image, the centre of the window's pixel i is (i + corner + .5) / scale.
    translation = tf.cast(begin, tf.float32) * scale - tf.cast(corner, tf.float32)
    window = tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=size if isinstance(size, tuple) else (size, size),
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(window), 0, 255), tf.uint8)
