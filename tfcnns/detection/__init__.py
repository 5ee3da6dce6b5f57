"""What OverFeat does after the network: windows over whole images, and what they say together.

`dense_map` slides a model over an image, `window_boxes` has where its outputs lie, and
`multiscale_vote` makes one answer of many scales. `detect` finds objects, with `merge_boxes`.
`targets`, `box_loss` and `negatives` are what trains a regressor and a detector.
"""

from .dense import dense_map
from .detect import detect
from .geometry import Geometry, geometry
from .merge import merge_boxes
from .scales import default_scales, scaled_shape
from .vote import multiscale_vote
from .windows import boxes_in_pixels, window_boxes

__all__ = [
    "Geometry",
    "boxes_in_pixels",
    "default_scales",
    "dense_map",
    "detect",
    "geometry",
    "merge_boxes",
    "multiscale_vote",
    "scaled_shape",
    "window_boxes",
]
