"""Response normalisation within each map (AlexNet's 2012 code; not in the paper)."""

import keras
from keras import ops

from .hyperparameters import real, whole
from .layout import from_channels_last, resolve_data_format, to_channels_last
from .lrn import negative_power


@keras.saving.register_keras_serializable(package="tfcnns")
class SameMapNorm(keras.layers.Layer):
    """Divides every activity by a power of the energy around it in the same map.

    The authors' code has it after the second `LRN` of AlexNet (layers "cnorm2a" and "cnorm2b", of
    type "rnorm"); the paper doesn't mention it. At position (y, x) of each map, n = size:

        b(y, x) = a(y, x) / (k + scale / n^2 * sum_{i, j} a(y + i, x + j)^2) ^ pow

    over the n x n pixels around (y, x): i and j from -(n // 2) on, so that an even window has one
    more pixel above and to the left. Outside the map a is zero. The sum is taken in float32
    (float64 under a float64 policy).

    Args:
        size: n, pixels. AlexNet: 5.
        scale: >= 0; divided by n^2 here, as the code does with its configuration. AlexNet: 1e-3.
        power: pow. AlexNet: 0.75.
        bias: k >= 0, the code's minDiv, which is 1 for this type. With 0, a window of zeros has no
            value (0 / 0).
        data_format: "channels_last" or "channels_first"; None takes keras.config's. The latter
            is transposed, worked out channels last and transposed back.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, H, W, C), or (N, C, H, W) for channels first.
    Output shape: that of the input.

    Raises:
        ValueError: for a size that is no positive integer, and for scale or bias that are negative
            or not finite.

    Example:
        >>> maps = keras.Input((27, 27, 256))
        >>> SameMapNorm()(maps).shape
        (None, 27, 27, 256)

    Source: layers/layers-145.cfg, layers/layer-params-145.cfg and layer.py (NormLayerParser) of
    the authors' 2012 code; cudaconv2's kCNorm kernels, which start a window at -size / 2.
    """

    def __init__(self, size=5, scale=1e-3, power=0.75, bias=1.0, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.size = whole("size", size)
        self.scale = real("scale", scale, least=0)
        self.power = real("power", power)
        self.bias = real("bias", bias, least=0)
        self.data_format = resolve_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        x = ops.cast(inputs, "float64" if self.compute_dtype == "float64" else "float32")
        x = to_channels_last(x, self.data_format)
        before = self.size // 2
        window = (before, self.size - 1 - before)
        squares = ops.pad(ops.square(x), ((0, 0), window, window, (0, 0)))
        # The mean over the padded window is the sum over n^2.
        energy = ops.average_pool(squares, self.size, 1, "valid", data_format="channels_last")
        x = x * negative_power(self.bias + self.scale * energy, self.power)
        return ops.cast(from_channels_last(x, self.data_format), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "scale": self.scale,
            "power": self.power,
            "bias": self.bias,
            "data_format": self.data_format,
        }
