"""What is done to each pixel by itself, without temporaries as large as the image.

Sums of pixels need more than their eight bits: of a photograph of 64 million pixels, a copy in
float32 takes 768 MB, a copy of a strip of it 3 MB. All is TensorFlow's, for graphs too.
"""

import tensorflow as tf

PIXELS = 1 << 18  # of a strip


def by_strips(function, image, channels):
    """function(image), uint8 (H, W, channels), put together from strips of whole rows.

    function: of uint8 (h, W, C), to uint8 (h, W, channels), each pixel from its own alone.
    image: uint8 (H, W, C), H and W may be unknown.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    rows = tf.maximum(PIXELS // tf.maximum(width, 1), 1)
    done = tf.TensorArray(
        tf.uint8,
        size=-(-height // rows),
        element_shape=[None, image.shape[1], channels],
        infer_shape=False,
    )

    def more(number, _):
        return number * rows < height

    def one(number, done):
        strip = image[number * rows : (number + 1) * rows]
        return number + 1, done.write(number, function(strip))

    _, done = tf.while_loop(more, one, (0, done), parallel_iterations=1)
    return tf.ensure_shape(done.concat(), [*image.shape[:2], channels])


@tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)], autograph=False)
def grey(image):
    """A colour image, uint8 (H, W, 3), as tf.image.rgb_to_grayscale has it, uint8 (H, W, 1)."""
    return by_strips(tf.image.rgb_to_grayscale, image, 1)


def over(image, background):
    """An image with an alpha channel, uint8 (H, W, 4), over a grey level: uint8 (H, W, 3)."""

    def blend(image):
        image = tf.cast(image, tf.int32)
        alpha = image[..., 3:]
        blended = image[..., :3] * alpha + background * (255 - alpha)
        return tf.cast((blended + 127) // 255, tf.uint8)

    return by_strips(blend, image, 3)
