"""The papers' layers, on keras.ops: they run on the TensorFlow and on the JAX backend."""

from .lrn import LRN
from .maxout_conv import MaxoutConv
from .maxout_dense import MaxoutDense
from .mlp_conv import MLPConv

__all__ = ["LRN", "MLPConv", "MaxoutConv", "MaxoutDense"]
