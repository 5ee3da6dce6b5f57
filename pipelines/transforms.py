"""Small functions on one image (H, W, C), to be called eagerly or inside tf.data.

Inside tf.data the image's rank must be known; height and width needn't be.

None keeps state: those that draw at random take `seed`, an int32 pair such as `batches`
hands to every sample, and give the same result for the same pair. Put them together in
plain Python:

    def example(index, seed):
        shift_seed, flip_seed = split(seed, 2)
        image = random_shift(images[index], 4, shift_seed)
        return scale(random_flip(image, flip_seed)), labels[index]
"""

import tensorflow as tf


def split(seed, n):
    """`n` independent seeds, each (2,), from one; for several transforms of one image."""
    return tf.unstack(tf.random.split(seed, n))


def scale(image):
    """uint8 0..255 -> float32 0..1, the same shape.

    Raises: ValueError if `image` isn't uint8, since scaling twice would go unnoticed.
    """
    image = tf.convert_to_tensor(image)
    if image.dtype != tf.uint8:
        raise ValueError(f"scale expects a uint8 image. Received: dtype={image.dtype.name}")
    return tf.cast(image, tf.float32) / 255.0


def random_shift(image, pixels, seed, fill=0):
    """The image moved by -pixels..pixels on each axis, every offset equally likely.

    `fill` comes in at the edges. Equals a random (H, W) crop of the image padded by
    `pixels` on all sides, as the papers on CIFAR word it. Shape and dtype stay.
    """
    image = tf.convert_to_tensor(image)
    padded = tf.pad(image, [[pixels, pixels], [pixels, pixels], [0, 0]], constant_values=fill)
    offset = tf.random.stateless_uniform([2], seed, 0, 2 * pixels + 1, tf.int32)
    return _slice(padded, offset, tf.shape(image)[:2], image.shape)


def random_flip(image, seed):
    """The image or, as often, its mirror image left to right. Shape and dtype stay."""
    image = tf.convert_to_tensor(image)
    # One slice, forwards or backwards; tf.where would make both images and then choose.
    step = 1 - 2 * tf.random.stateless_uniform([], seed, 0, 2, tf.int32)
    return tf.ensure_shape(image[:, ::step], image.shape)


def random_crop(image, size, seed):
    """A (size, size, C) piece of the image, or (*size, C) for a pair, anywhere inside it.

    Raises: ValueError if the image is known to be smaller than the piece;
    tf.errors.InvalidArgumentError if that shows only when it runs.
    """
    return _crop(image, size, lambda room: random_offset(room, seed))


def random_offset(room, seed):
    """Where `random_crop` begins: int32 (2,), each 0..room, every one equally likely.

    room: int32 (2,), how much the image is larger than the piece, in rows and columns.
    """
    draws = zip(split(seed, 2), tf.unstack(room), strict=True)
    return tf.stack([tf.random.stateless_uniform([], s, 0, r + 1, tf.int32) for s, r in draws])


def center_crop(image, size):
    """The middle (size, size, C) of the image, or (*size, C) for a pair.

    Where the margin is odd, the larger half is cut off at the bottom and right.
    Raises: as `random_crop`.
    """
    return _crop(image, size, lambda room: room // 2)


def resize(image, height, width):
    """The image as (height, width, C), its aspect ratio aside. The one filter used here.

    Bilinear about half-pixel centres, widened when shrinking so that every source pixel
    counts (antialias). A mean of neighbours never leaves their range; bicubic rings around
    ink and edges and would have to be clipped. uint8 comes out rounded to uint8, floats as
    float32.
    """
    image = tf.convert_to_tensor(image)
    resized = tf.image.resize(image, [height, width], method="bilinear", antialias=True)
    if image.dtype == tf.uint8:
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
    return resized


def resize_short_side(image, size):
    """The image with its shorter side `size` pixels, aspect kept (AlexNet section 2: 256).

    The longer side is rounded to a whole number of pixels, halves to even.
    """
    image = tf.convert_to_tensor(image)
    height, width = tf.unstack(short_side_shape(tf.shape(image)[:2], size))
    return resize(image, height, width)


def short_side_shape(shape, size):
    """int32 (2,): rows and columns of an image of `shape` pixels after `resize_short_side`."""
    sides = tf.cast(shape, tf.float64)
    return tf.cast(tf.round(sides * size / tf.reduce_min(sides)), tf.int32)


def cover_shape(shape, size):
    """int32 (2,): rows and columns of an image of `shape` pixels when it just covers `size`."""
    sides, wanted = tf.cast(shape, tf.float64), tf.cast(size, tf.float64)
    axis = tf.argmax(wanted / sides)  # one side becomes as long as wanted, the other longer
    scaled = tf.round(sides * wanted[axis] / sides[axis])
    return tf.cast(tf.maximum(scaled, wanted), tf.int32)


def _crop(image, size, offset_in):
    image = tf.convert_to_tensor(image)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    for side, wanted, axis in zip(image.shape, (height, width), ("height", "width"), strict=False):
        if side is not None and side < wanted:
            raise ValueError(f"crop expects {axis} >= {wanted}. Received: {axis}={side}")
    shape = tf.stack([height, width])
    return _slice(
        image, offset_in(tf.shape(image)[:2] - shape), shape, (height, width, image.shape[2])
    )


def _slice(image, offset, size, static_shape):
    begin = tf.concat([offset, [0]], axis=0)
    return tf.ensure_shape(tf.slice(image, begin, tf.concat([size, [-1]], axis=0)), static_shape)
