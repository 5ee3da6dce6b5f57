"""Dropout with a scale of its own (Maxout Networks, as configured by its authors)."""

import keras
from keras import ops

from .draws import SampleSeeds
from .hyperparameters import real, seed_number


@keras.saving.register_keras_serializable(package="tfcnns")
class ScaledDropout(keras.layers.Layer):
    """Sets values to zero at random and multiplies the others by `scale`.

    In training, for each value x on its own:

        y = scale * x  with probability 1 - rate,   y = 0  with probability rate

    At inference y = x. `keras.layers.Dropout(rate)` has scale = 1 / (1 - rate), which keeps the
    mean. The authors of maxout do so between layers (rate 0.5, scale 2), but not on the network's
    input, kept with probability 0.8 at scale 1, the default here: in training its mean is 0.8
    times what it is at test.

    What is dropped follows from the seed, the step and the sample's place in the global batch:
    it is the same on one device and on several replicas, and for a batch in several passes.
    `keras.layers.Dropout` draws one mask for all replicas, or one for each of them under the
    strategies of `tfcnns.training.make_strategy`.

    Args:
        rate: the fraction set to zero, in [0, 1]. Maxout's input: 0.2.
        scale: the factor on what is kept. Maxout's input: 1. None: 1 / (1 - rate), which makes
            it `keras.layers.Dropout`.
        seed: integer for the draws; None takes a random one.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: any. Output shape: that of the input.

    Raises:
        ValueError: for a rate outside [0, 1] or a scale that is not finite.

    Example:
        >>> images = keras.Input((32, 32, 3))
        >>> x = ScaledDropout(0.2)(images)
        >>> x.shape
        (None, 32, 32, 3)

    Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks", ICML 2013
    (arXiv 1302.4389), as configured in pylearn2/scripts/papers/maxout (input_include_probs 0.8,
    input_scales 1); pylearn2/costs/mlp/dropout.py.
    """

    def __init__(self, rate, scale=1.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = real("rate", rate, least=0, most=1)
        self.scale = real("scale", scale, optional=True)
        self.seed = seed_number("seed", seed)
        self.seed_generator = SampleSeeds(self.seed)
        self.supports_masking = True

    def call(self, inputs, training=False):
        if not training:
            return inputs
        shape = ops.shape(inputs)
        size = 1
        for side in shape[1:]:  # integers, or tensors where a side is not known before it runs
            size = size * side
        draws = ops.reshape(self.seed_generator.uniform(shape[0], size), shape)
        # Selected, not multiplied by a mask: infinity is dropped too.
        return ops.where(draws >= self.rate, inputs * self._factor(), ops.zeros_like(inputs))

    def _factor(self):
        if self.scale is not None:
            return self.scale
        return 1 / (1 - self.rate) if self.rate < 1 else 0.0

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "scale": self.scale,
            "seed": self.seed,
        }
