"""The network that predicts one box for every window (OverFeat, section 4.2)."""

import keras
from keras import ops

from .hyperparameters import from_keras, whole, wholes
from .initializers import one_each
from .layout import on_any_batch


@keras.saving.register_keras_serializable(package="tfcnns")
class BoxRegressor(keras.layers.Layer):
    """Slides a small fully connected network over the pooled maps; its outputs are box edges.

    Section 4.2 of Sermanet et al., for the `window` x `window` patch p_ij of the pooled maps
    whose top left corner is (i, j), and hidden layers of 4096 and 1024 units:

        h1_ij = max(W1 p_ij + b1, 0),   h2_ij = max(W2 h1_ij + b2, 0)
        (x0, y0, x1, y1)_ij = W3 h2_ij + b3

    The edges are measured from the top left corner of the window in the image, in units of the
    window's sides: (0, 0, 1, 1) is the window itself, and boxes may reach beyond it. The layers
    are the `keras.layers.Conv2D`s of `convs`: "fc1", "fc2", ..., "edges".

    Args:
        units: a tuple with the width of each hidden layer; empty for a linear regressor.
        classes: None for one box a window, shared by all classes, which won in the paper (figure
            10); a number for a box of each class, whose edges come from a last layer of their own.
        window: the patch's side, in pixels of the maps; 5 in the paper's accurate net.
        activation: of the hidden layers.
        kernel_initializer, bias_initializer: one for all layers; no layer repeats the values of
            another.
        kernel_regularizer, bias_regularizer: of every layer, as in `keras.layers.Conv2D`.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, h, w, C); h and w may be unknown.
    Output shape: (N, h - window + 1, w - window + 1, 4), or (..., classes, 4).

    Raises:
        ValueError: for units, classes or a window that are no positive integers, and for maps
            known to be smaller than the window.

    Example:
        >>> pooled = keras.Input((6, 7, 1024))
        >>> BoxRegressor()(pooled).shape
        (None, 2, 3, 4)

    Source: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks", ICLR 2014 (arXiv 1312.6229),
    section 4.2 and figure 8. The text leaves the edges' frame open; the window's is ours.
    """

    def __init__(
        self,
        units=(4096, 1024),
        classes=None,
        window=5,
        activation="relu",
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = wholes("units", units, empty=True)
        self.classes = whole("classes", classes, optional=True)
        self.window = whole("window", window)
        self.activation = from_keras("activation", activation)
        self.kernel_initializer = from_keras("kernel_initializer", kernel_initializer)
        self.bias_initializer = from_keras("bias_initializer", bias_initializer)
        self.kernel_regularizer = from_keras("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = from_keras("bias_regularizer", bias_regularizer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

        hidden = len(self.units)
        kernel_initializers = one_each(self.kernel_initializer, hidden + 1)
        bias_initializers = one_each(self.bias_initializer, hidden + 1)
        self.convs = []
        for i, width in enumerate((*self.units, 4 * (self.classes or 1))):
            self.convs.append(
                keras.layers.Conv2D(
                    width,
                    self.window if i == 0 else 1,
                    data_format="channels_last",
                    activation=self.activation if i < hidden else None,
                    kernel_initializer=kernel_initializers[i],
                    bias_initializer=bias_initializers[i],
                    kernel_regularizer=self.kernel_regularizer,
                    bias_regularizer=self.bias_regularizer,
                    dtype=self.dtype_policy,
                    name=f"fc{i + 1}" if i < hidden else "edges",
                )
            )

    def build(self, input_shape):
        self.compute_output_shape(input_shape)  # refuses what is too small
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                "`BoxRegressor` needs to know the number of input channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})
        for conv in self.convs:
            conv.build((None, None, None, channels))
            channels = conv.filters

    def call(self, inputs):
        return on_any_batch(self._regress, ops.cast(inputs, self.compute_dtype))

    def _regress(self, x):
        for conv in self.convs:
            x = conv(x)  # (N, h - window + 1, w - window + 1, its width)
        if self.classes is not None:
            x = ops.reshape(x, (*ops.shape(x)[:-1], self.classes, 4))
        return x

    def compute_output_shape(self, input_shape):
        batch, *sizes, _ = input_shape
        if any(size is not None and size < self.window for size in sizes):
            raise ValueError(
                f"`BoxRegressor` needs maps of {self.window} x {self.window} or more. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        sizes = [None if size is None else size - self.window + 1 for size in sizes]
        boxes = (4,) if self.classes is None else (self.classes, 4)
        return (batch, *sizes, *boxes)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "classes": self.classes,
            "window": self.window,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
