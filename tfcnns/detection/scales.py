"""The sizes at which OverFeat looks at an image (section 3.3, table 5)."""

import operator

from .geometry import MAX_ASPECT, choose

STRIDES = (0, 1, 2, 4, 5, 6)  # by which table 5's short sides exceed the smallest


def default_scales(geometry):
    """Six short sides in pixels, the paper's for its accurate net: `smallest` + k * `stride`.

    k is 0, 1, 2, 4, 5, 6, so that windows at every offset fill each side:

    | accurate | 245 | 281 | 317 | 389 | 425 | 461 |
    |---|---|---|---|---|---|---|
    | fast | 247 | 279 | 311 | 375 | 407 | 439 |
    | digits | 36 | 44 | 52 | 68 | 76 | 84 |

    The fast net's and the digits' are ours; the paper's four-scale results are its first, second,
    fourth and sixth.

    Args:
        geometry: a `Geometry`.
    """
    return tuple(geometry.smallest + k * geometry.stride for k in STRIDES)


def scaled_shape(geometry, image_shape, scale):
    """Rows and columns of an image at a scale.

    The paper has one long side for each short side, 245x245 to 461x569, for images of all shapes.
    Here the long side is the nearest to the image's aspect ratio, of the short side plus whole
    strides: the default scales have their windows fill every image, at a few sizes in all. Half
    a stride too long is a stride more. It ends at MAX_ASPECT short sides: an image that is
    thinner is squeezed.

    Args:
        geometry: a `Geometry`.
        image_shape: (height, width) or (height, width, channels); integers, or tensors.
        scale: the short side in pixels, or (height, width), which is returned as it is.

    Returns: two integers, or two tensors.
    Raises: ValueError for a scale that isn't one or two positive integers.
    """
    if isinstance(scale, (tuple, list)) and len(scale) == 2:
        return tuple(_positive(side, scale) for side in scale)
    short = _positive(scale, scale)
    stride = geometry.stride
    most = (MAX_ASPECT - 1) * short // stride

    def side(own, other):
        excess = choose(own > other, own - other, 0)  # in the image's own pixels
        strides = (2 * short * excess // other + stride) // (2 * stride)
        return short + stride * choose(strides > most, most, strides)

    height, width = image_shape[:2]
    return side(height, width), side(width, height)


def _positive(side, scale):
    try:
        side = operator.index(side)
    except TypeError:
        side = 0
    if side < 1:
        raise ValueError(
            "a scale must be a short side in pixels or a pair (height, width). "
            f"Received: scale={scale!r}"
        )
    return side
