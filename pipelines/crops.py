"""The ten crops that AlexNet, and others after it, average predictions over."""

import tensorflow as tf


def ten_crops(image, size):
    """Top left, top right, bottom left, bottom right, middle; then the five mirrored.

    AlexNet section 4.1: the average of the network's softmax outputs over the ten is the
    prediction. Where the margin is odd, the middle is `transforms.center_crop`'s.

    Args:
        image: (H, W, C), both sides at least `size`; they may be unknown inside tf.data.
        size: side of the crops in pixels.

    Returns: (10, size, size, C), the image's dtype.
    Raises: ValueError if the image is known to be smaller than its crops;
    tf.errors.InvalidArgumentError if that shows only when it runs.
    """
    image = tf.convert_to_tensor(image)
    for side, axis in zip(image.shape, ("height", "width"), strict=False):
        if side is not None and side < size:
            raise ValueError(f"ten_crops expects {axis} >= {size}. Received: {axis}={side}")
    bottom, right = tf.unstack(tf.shape(image)[:2] - size)
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = tf.stack([tf.slice(image, [*corner, 0], [size, size, -1]) for corner in corners])
    crops = tf.ensure_shape(crops, [5, size, size, image.shape[2]])
    return tf.concat([crops, crops[:, :, ::-1]], axis=0)
