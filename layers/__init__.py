"""The papers' layers, on keras.ops: they run on the TensorFlow and on the JAX backend."""

from .any_batch import AnyBatchConv2D, AnyBatchMaxPooling2D
from .box_regressor import BoxRegressor
from .ceil_pool import CeilAveragePooling2D, CeilMaxPooling2D
from .devices import MissingDevice, check_devices, device_pins
from .each_tower import EachTower
from .global_contrast_normalization import GlobalContrastNormalization
from .local_contrast_normalization import LocalContrastNormalization
from .local_conv import LocalConv
from .lrn import LRN
from .maxout_conv import MaxoutConv
from .maxout_dense import MaxoutDense
from .mean_image import MeanImage
from .mlp_conv import MLPConv
from .offset_max_pool import OffsetMaxPool
from .pca_lighting import PCALighting
from .random_window import RandomWindow
from .response_norm import SameMapNorm
from .scaled_dropout import ScaledDropout
from .threshold import threshold
from .tower_conv import TowerConv
from .tower_dense import TowerDense
from .tower_lrn import TowerLRN
from .xla import xla_segments
from .zca_whitening import ZCAWhitening

__all__ = [
    "LRN",
    "AnyBatchConv2D",
    "AnyBatchMaxPooling2D",
    "BoxRegressor",
    "CeilAveragePooling2D",
    "CeilMaxPooling2D",
    "EachTower",
    "GlobalContrastNormalization",
    "LocalContrastNormalization",
    "LocalConv",
    "MLPConv",
    "MaxoutConv",
    "MaxoutDense",
    "MeanImage",
    "MissingDevice",
    "OffsetMaxPool",
    "PCALighting",
    "RandomWindow",
    "SameMapNorm",
    "ScaledDropout",
    "TowerConv",
    "TowerDense",
    "TowerLRN",
    "ZCAWhitening",
    "check_devices",
    "device_pins",
    "threshold",
    "xla_segments",
]
