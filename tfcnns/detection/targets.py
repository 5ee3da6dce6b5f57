"""What each window of a map should answer, from the boxes of the image (sections 4.2 and 5).

Stateless functions in TensorFlow ops, for tf.data or a loss. A window answers for one object: of
those that are objects to it, the one with the largest IoU with the window, of equal ones the
first in the list.
"""

import tensorflow as tf

from tfcnns.pipelines.scene_views import objects_alone

OVERLAPS = ("object", "iou")
IGNORED = -1  # the label of a window that nothing is asked of


def coarse_windows(geometry, height, width):
    """The windows of a model's own output (offset 0) on an image, (h, w, 4) float32 pixels.

    `window_boxes` has those of all offsets, which a model sees in training by and by where its
    images are shifted at random.

    Args:
        geometry: a `Geometry`.
        height, width: of the image, integers, one window at least.
    """
    starts = [
        tf.range(0, side - geometry.window + 1, geometry.stride, dtype=tf.float32)
        for side in (height, width)
    ]
    y0, x0 = tf.meshgrid(*starts, indexing="ij")
    corner = tf.stack([x0, y0], axis=-1)
    return tf.concat([corner, corner + geometry.window], axis=-1)


def match_objects(windows, boxes, labels, least=0.5, overlap="object", sides=(0.0, 1e9)):
    """Which object each window is about.

    Section 4.2 trains the regressor on no box with "less than 50% overlap with the input field of
    view: since the object is mostly outside of these locations, it will be better handled by
    regression windows that do contain the object". Of what the half is a half can be read in
    two ways, with w the window and b the box:

        "object"  area(w and b) / area(b) >= least: the reason given, for objects of any shape
        "iou"     area(w and b) / area(w or b) >= least: what others made of it; a slim object
                  never reaches it, and neither does one much smaller or larger than the window

    Args:
        windows: (..., 4) float32, edges x0, y0, x1, y1.
        boxes: (n, 4), in the same frame; they may reach beyond the image.
        labels: (n,) int, -1 where there is no box.
        least: the smallest overlap, in 0..1.
        overlap: "object", the default, or "iou".
        sides: smallest and largest longer side of an object, in sides of the window: not in the
            paper. Where many scales look at an image, one whose windows show the object as a
            speck leaves it to the others.

    Returns: (...,) int32, a place in `boxes`, or -1 for none. Boxes without area are no objects.
    Raises: ValueError for another `overlap`.
    """
    if overlap not in OVERLAPS:
        raise ValueError(f"`overlap` must be one of {OVERLAPS}. Received: overlap={overlap!r}")
    w, b, common = _common(windows, boxes)
    window_sides, box_sides = w[..., 2:] - w[..., :2], b[:, 2:] - b[:, :2]
    area = tf.reduce_prod(box_sides, axis=-1)
    iou = tf.math.divide_no_nan(common, tf.reduce_prod(window_sides, axis=-1) + area - common)
    share = tf.math.divide_no_nan(common, area) if overlap == "object" else iou
    relative = tf.reduce_max(box_sides / window_sides, axis=-1)  # (..., n)
    smallest, largest = sides
    fine = (share >= least) & (common > 0) & (relative >= smallest) & (relative <= largest)
    fine &= tf.cast(labels, tf.int32) >= 0
    count = tf.shape(b)[0]
    # One more column, which wins where nothing is fine; argmax takes the first of equal ones.
    iou = tf.where(fine, iou, -1.0)
    iou = tf.concat([iou, tf.fill([*tf.unstack(tf.shape(iou)[:-1]), 1], -0.5)], axis=-1)
    best = tf.argmax(iou, axis=-1, output_type=tf.int32)
    return tf.where(best == count, -1, best)


def box_targets(windows, boxes, labels, crowd=None, **rules):
    """What the regressor should answer, in the form that `BoxLoss` takes.

        edge_x = (x - x0) / (x1 - x0),   edge_y = (y - y0) / (y1 - y0)

    Args:
        windows, boxes, labels: as in `match_objects`.
        crowd: bool (n,), boxes of crowds, or too difficult to count: they are no objects.
            None for none.
        **rules: further arguments of `match_objects`.

    Returns: (..., 5) float32: edges x0, y0, x1, y1 of the object in units of the window, from the
        window's top left corner, and its label; zeros and `IGNORED` for a window without one.
    """
    labels = objects_alone(labels, crowd)
    best = match_objects(windows, boxes, labels, **rules)
    found = best >= 0
    best = tf.maximum(best, 0)
    # One box at least, so that an image without any can be asked too.
    boxes = tf.concat([tf.cast(boxes, windows.dtype), tf.zeros([1, 4], windows.dtype)], axis=0)
    labels = tf.concat([tf.cast(labels, windows.dtype), [IGNORED]], axis=0)
    sides = windows[..., 2:] - windows[..., :2]
    edges = (tf.gather(boxes, best) - tf.tile(windows[..., :2], _twice(windows))) / tf.tile(
        sides, _twice(windows)
    )
    edges = tf.where(found[..., None], edges, 0.0)
    label = tf.where(found, tf.gather(labels, best), float(IGNORED))
    return tf.concat([edges, label[..., None]], axis=-1)


def class_targets(
    windows, boxes, labels, background, least=0.75, most=0.5, overlap="object",
    sides=(0.4, 1.1), near=(0.25, 1.5), crowd=None,
):  # fmt: skip
    """What the classifier should answer: a class, the background, or nothing is asked.

    Section 5 adds a class "for when no object is present". It leaves open where a window stops
    having an object; here there is room in between:

        label of the object     if one overlaps by `least` or more and its size is in `sides`
        `background`            if none overlaps by `most` or more, of those with a size in `near`
        IGNORED                 otherwise

    Boxes of crowds, and of what is too difficult to count, are no objects, but what they show is
    no background either: a window without an object is IGNORED if such a box of a size in `near`
    overlaps by `most` or more, and if `most` of the window or more lies in such a box.

    Args:
        windows, boxes, labels, overlap: as in `match_objects`.
        background: the label of the background.
        least, most: overlaps in 0..1, most <= least.
        sides, near: smallest and largest longer side of an object, in sides of the window, as in
            `match_objects`; `near` is the wider range.
        crowd: bool (n,), which boxes are crowds or difficult, of any label; None for none.

    Returns: (...,) int32.
    """
    labels = objects_alone(labels, crowd)
    best = match_objects(windows, boxes, labels, least, overlap, sides)
    near_one = match_objects(windows, boxes, labels, most, overlap, near) >= 0
    if crowd is not None:
        crowd = tf.convert_to_tensor(crowd)
        crowds = tf.where(crowd, 0, IGNORED)
        near_one |= match_objects(windows, boxes, crowds, most, overlap, near) >= 0
        w, _, common = _common(windows, boxes)
        area = tf.reduce_prod(w[..., 2:] - w[..., :2], axis=-1)
        near_one |= tf.reduce_any((common >= most * area) & (common > 0) & crowd, axis=-1)
    labels = tf.concat([tf.cast(labels, tf.int32), [IGNORED]], axis=0)
    label = tf.gather(labels, tf.maximum(best, 0))
    other = tf.where(near_one, IGNORED, tf.cast(background, tf.int32))
    return tf.where(best >= 0, label, other)


def _common(windows, boxes):
    """Windows (..., 1, 4), boxes (n, 4), and the areas that they have in common, (..., n)."""
    w, b = windows[..., None, :], tf.cast(boxes, windows.dtype)
    common = tf.minimum(w[..., 2:], b[:, 2:]) - tf.maximum(w[..., :2], b[:, :2])
    return w, b, tf.reduce_prod(tf.nn.relu(common), axis=-1)


def _twice(windows):
    return [1] * (len(windows.shape) - 1) + [2]
