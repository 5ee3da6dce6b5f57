"""What OverFeat does after the network: windows over whole images, and what they say together.

`dense_map` slides a model over an image, `window_boxes` has where its outputs lie, and
`multiscale_vote` makes one answer of many scales. `detect` finds objects, with `merge_boxes`.
`training_batches` with `BoxLoss` and `MinedCrossentropy` train a detector.
"""

from .box_loss import BoxIoU, BoxLoss
from .dense import dense_map
from .detect import detect
from .geometry import Geometry, geometry
from .merge import merge_boxes
from .negatives import MinedCrossentropy, MinedNegatives, ObjectAccuracy
from .pieces import training_batches, training_piece
from .scales import default_scales, scaled_shape
from .vote import multiscale_vote
from .windows import boxes_in_pixels, window_boxes

__all__ = [
    "BoxIoU",
    "BoxLoss",
    "Geometry",
    "MinedCrossentropy",
    "MinedNegatives",
    "ObjectAccuracy",
    "boxes_in_pixels",
    "default_scales",
    "dense_map",
    "detect",
    "geometry",
    "merge_boxes",
    "multiscale_vote",
    "scaled_shape",
    "training_batches",
    "training_piece",
    "window_boxes",
]
