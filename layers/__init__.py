"""The papers' layers, on keras.ops: they run on the TensorFlow and on the JAX backend."""

from .box_regressor import BoxRegressor
from .ceil_pool import CeilAveragePooling2D, CeilMaxPooling2D
from .global_contrast_normalization import GlobalContrastNormalization
from .local_contrast_normalization import LocalContrastNormalization
from .lrn import LRN
from .maxout_conv import MaxoutConv
from .maxout_dense import MaxoutDense
from .mean_image import MeanImage
from .mlp_conv import MLPConv
from .offset_max_pool import OffsetMaxPool
from .pca_lighting import PCALighting
from .response_norm import SameMapNorm
from .scaled_dropout import ScaledDropout
from .threshold import threshold
from .tower_conv import TowerConv
from .tower_dense import TowerDense
from .zca_whitening import ZCAWhitening

__all__ = [
    "LRN",
    "BoxRegressor",
    "CeilAveragePooling2D",
    "CeilMaxPooling2D",
    "GlobalContrastNormalization",
    "LocalContrastNormalization",
    "MLPConv",
    "MaxoutConv",
    "MaxoutDense",
    "MeanImage",
    "OffsetMaxPool",
    "PCALighting",
    "SameMapNorm",
    "ScaledDropout",
    "TowerConv",
    "TowerDense",
    "ZCAWhitening",
    "threshold",
]
