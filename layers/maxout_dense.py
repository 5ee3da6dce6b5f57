"""Maxout units (Maxout Networks, section 3)."""

import math

import keras
from keras import ops

from .hyperparameters import flag, from_keras, whole
from .xla import segment


@keras.saving.register_keras_serializable(package="tfcnns")
class MaxoutDense(keras.layers.Layer):
    """Dense layer of maxout units: each is the largest of `pieces` affine maps of the input.

    Section 3 of Goodfellow et al., with m = units, k = pieces and d input features:

        h_i(x) = max_{j in 1..k} z_ij,   z_ij = x^T W_..ij + b_ij,   W: d x m x k,  b: m x k

    W is stored as one matrix of d x (m * k) whose consecutive columns i * k .. i * k + k - 1 belong
    to unit i, as in the authors' code. With one piece this is `keras.layers.Dense`. Where dropout
    goes in a maxout network is told in `MaxoutConv`.

    Args:
        units: m, the number of outputs.
        pieces: k, the affine maps of each unit.
        min_zero: if True the max includes 0, which makes a unit a max over rectifiers.
        use_bias: if False, z has no b.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
        activity_regularizer, kernel_constraint, bias_constraint: as in `keras.layers.Dense`;
            `keras.constraints.MaxNorm(1.9365)` is the paper's bound on each column.
        **kwargs: name, dtype and whatever else keras.layers.Layer takes.

    Input shape: (N, ..., d), of rank 2 or more.
    Output shape: (N, ..., units).

    Raises:
        ValueError: for units or pieces that are no positive integers, and for an input with an
            unknown number of features.

    Example:
        >>> digits = keras.Input((784,))
        >>> x = MaxoutDense(240, pieces=5)(digits)
        >>> keras.Model(digits, x).count_params()
        942000

    Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks", ICML 2013
    (arXiv 1302.4389), section 3; pylearn2/models/maxout.py.
    """

    def __init__(
        self,
        units,
        pieces,
        min_zero=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = whole("units", units)
        self.pieces = whole("pieces", pieces)
        self.min_zero = flag("min_zero", min_zero)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = from_keras("kernel_initializer", kernel_initializer)
        self.bias_initializer = from_keras("bias_initializer", bias_initializer)
        self.kernel_regularizer = from_keras("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = from_keras("bias_regularizer", bias_regularizer)
        self.kernel_constraint = from_keras("kernel_constraint", kernel_constraint)
        self.bias_constraint = from_keras("bias_constraint", bias_constraint)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        features = input_shape[-1]
        if features is None:
            raise ValueError(
                "`MaxoutDense` needs to know the last dimension of its input. "
                f"Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: features})
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.units * self.pieces),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units * self.pieces,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs):
        z = ops.matmul(inputs, self.kernel)
        affine = [z] if self.bias is None else [z, self.bias]
        return _max_over_pieces(*affine, pieces=self.pieces, min_zero=self.min_zero)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "pieces": self.pieces,
            "min_zero": self.min_zero,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


@segment
def _max_over_pieces(z, bias=None, *, pieces, min_zero):
    """Adds the bias and takes the max of each unit's consecutive pieces.

    (..., units * pieces) -> (..., units).
    """
    if bias is not None:
        z = z + bias
    z = ops.reshape(z, (*ops.shape(z)[:-1], z.shape[-1] // pieces, pieces))
    # An initial value lets the max of an empty batch pass.
    return ops.max(z, axis=-1, initial=0.0 if min_zero else -math.inf)
