"""Random shifts and mirror images, drawn anew for each image (Maxout Networks, on CIFAR-10)."""

import keras
from keras import ops

from .draws import SampleSeeds
from .hyperparameters import flag, seed_number, whole


@keras.saving.register_keras_serializable(package="tfcnns")
class RandomWindow(keras.layers.Layer):
    """Moves every image a little and mirrors every other one, in training.

    pylearn2's WindowAndFlip, which takes maxout's error on CIFAR-10 from 11.68 to 9.38 %: the image
    is padded by `pad` zeros on each side, and a window of its own size is cut out of that. For an
    image x of H x W pixels, zero outside:

        y(i, j) = x(i + a - pad, j' + b - pad),   a, b uniform on 0 .. 2 pad,
        j' = j, or W - 1 - j with probability 1/2

    Each image has its own draws. (`keras.layers.RandomCrop` makes one for the whole batch.) They
    follow from the seed, the step and the image's place in the global batch, on any number of
    replicas. At inference y = x, the middle window.

    The papers shift images that are whitened already, where zero is the mean: the layer stands
    behind `ZCAWhitening` in the model.

    Args:
        pad: zeros on each side, pixels. Maxout's CIFAR-10: 4. (A file of theirs with 8 counts
            both sides; a later one with 8 on each is a slip.)
        flip: whether images are mirrored left to right.
        seed: integer for the draws; None takes a random one.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C). Output shape: that of the input.

    Raises:
        ValueError: for a `pad` that is no integer >= 0.

    Example:
        >>> images = keras.Input((32, 32, 3))
        >>> RandomWindow(4)(images).shape
        (None, 32, 32, 3)

    Source: pylearn2/train_extensions/window_flip.py and scripts/papers/maxout/cifar10.yaml;
    Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks", ICML 2013, section 5.2.
    """

    def __init__(self, pad, flip=True, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.pad = whole("pad", pad, least=0)
        self.flip = flag("flip", flip)
        self.seed = seed_number("seed", seed)
        self.seed_generator = SampleSeeds(self.seed)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs, training=False):
        x = ops.cast(inputs, self.compute_dtype)
        return self._windows(x) if training else x

    def _windows(self, x):
        batch, height, width, channels = shape = ops.shape(x)
        pad = self.pad
        draws = self.seed_generator.uniform(batch, 3)
        corner = ops.cast(ops.floor(draws[:, :2] * (2 * pad + 1)), "int32")
        rows = corner[:, :1] + ops.arange(height, dtype="int32")  # (N, H) of the padded image
        columns = ops.arange(width, dtype="int32")
        if self.flip:
            mirrored = draws[:, 2:] < 0.5
            columns = ops.where(mirrored, width - 1 - columns, columns)
        columns = corner[:, 1:] + columns  # (N, W)

        # One gather of pixels from all images laid end to end.
        x = ops.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        first = ops.arange(batch, dtype="int32")[:, None] * (height + 2 * pad)
        line = (first + rows) * (width + 2 * pad)
        pixel = line[:, :, None] + columns[:, None, :]  # (N, H, W)
        return ops.reshape(ops.take(ops.reshape(x, (-1, channels)), pixel, axis=0), shape)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "pad": self.pad, "flip": self.flip, "seed": self.seed}
