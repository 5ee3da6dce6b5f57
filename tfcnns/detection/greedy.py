"""The loop behind `merge_boxes`: the closest pair becomes one box, until no pair is close enough.

Of every box the nearest box after it in the list is kept, with its score. A merge costs one row
of scores, new box against all, not a new search among all pairs. Where a nearest box has moved,
its row keeps the old score: a bound, because whatever came nearer since was compared with it. Such
a row is looked at again when, and only if, its bound is the smallest of all. Boxes merged away
leave the arrays at the end of each round. All together O(N^2) time and O(N) memory.

TensorFlow ops alone, so that the loop can be exported; without XLA, which needs sizes known ahead,
and whose fused arithmetic rounds otherwise.
"""

import numpy as np
import tensorflow as tf

BLOCK = 64  # rows of the first search that are held at a time
ALIGN = 16  # columns; TensorFlow then shares the rows of a table without copying them
STALE = -1  # in `nearest`: the bound holds, the place doesn't; -2 - i: merged into box i


def merge_all(boxes, threshold, match, weighted):
    """Merges until the smallest match score exceeds the threshold.

    Args:
        boxes: (N, 4) float tensor of x0, y0, x1, y1; N may be unknown.
        threshold: scalar of the same dtype.
        match: "iou", "intersection" or "literal", see `merge_boxes`.
        weighted: let an average count how many boxes a merged one stands for.

    Returns:
        boxes (N, 4), of which those that are their own parents are the merged ones, and
        parents (N,) int32: the box that each was merged into, or itself.
    """
    count = tf.shape(boxes)[0]
    ids = tf.range(count)
    weight = [tf.ones(count, boxes.dtype)] if weighted else []
    table = tf.stack(_entries(tf.unstack(boxes, num=4, axis=1), weight))  # (rows, N)
    bound, nearest = _first_neighbours(table, match)
    # A bound of infinity says that there is nothing to merge with.
    threshold = tf.minimum(threshold, boxes.dtype.max)

    def more(boxes, parents, ids, table, bound, nearest):
        return tf.reduce_min(bound) <= threshold  # of no boxes: infinity

    def a_round(boxes, parents, ids, table, bound, nearest):
        size = tf.shape(ids)[0]
        table, bound, nearest = _merge_some(table, bound, nearest, threshold, match, weighted)
        table, bound, nearest = table[:, :size], bound[:size], nearest[:size]
        gone = nearest < STALE
        dead, alive = tf.where(gone)[:, 0], tf.where(~gone)[:, 0]
        into = tf.gather(ids, -2 - tf.gather(nearest, dead))
        parents = tf.tensor_scatter_nd_update(parents, tf.gather(ids, dead)[:, None], into)
        # The survivors close ranks and keep their order.
        rank = tf.cumsum(tf.cast(~gone, tf.int32)) - 1
        nearest = tf.gather(nearest, alive)
        nearest = tf.where(nearest < 0, STALE, tf.gather(rank, tf.maximum(nearest, 0)))
        ids, bound, table = (
            tf.gather(ids, alive),
            tf.gather(bound, alive),
            tf.gather(table, alive, axis=1),
        )
        boxes = tf.tensor_scatter_nd_update(boxes, ids[:, None], tf.transpose(table[:4]))
        return boxes, parents, ids, table, bound, nearest

    row = tf.TensorShape((None,))
    boxes, parents, *_ = tf.while_loop(
        more,
        a_round,
        (boxes, ids, ids, table, bound, nearest),
        shape_invariants=(
            boxes.shape,
            ids.shape,
            row,
            tf.TensorShape((table.shape[0], None)),
            row,
            row,
        ),
        parallel_iterations=1,
    )
    return boxes, parents


def _merge_some(table, bound, nearest, threshold, match, weighted):
    """A round: as many steps as a quarter of the boxes, each a merge or a second look at a row."""
    rows, size = table.shape[0], tf.shape(bound)[0]
    dtype = table.dtype
    infinity = tf.constant(np.inf, dtype)
    # Infinitely far away, and without a part in any intersection.
    nowhere = tf.constant([np.inf] * 4 + [1.0] + [np.inf] * 2 + [1.0] * (rows - 7), dtype)
    padding = ALIGN - size % ALIGN
    size += padding
    table = tf.concat([table, tf.tile(nowhere[:, None], [1, padding])], axis=1)
    bound = tf.pad(bound, [[0, padding]], constant_values=np.inf)
    nearest = tf.pad(nearest, [[0, padding]])
    order = tf.range(size)
    starts = tf.range(rows)[:, None] * size  # of the rows in the flat table
    steps = size // 4 + BLOCK

    def more(step, first, least, table, bound, nearest):
        return (step < steps) & (least <= threshold)

    def merge_or_look(step, first, least, table, bound, nearest):
        # `first` has the smallest bound. If that is a true score, its box and the nearest become
        # one, which takes the place of the first. A stale first is merged with itself, which
        # changes nothing and finds its nearest anew.
        second = tf.gather(nearest, first)
        stale = second < 0
        second = tf.where(stale, first, second)
        pair = tf.stack([first, second])  # (2,)
        places = starts + pair  # (rows, 2)
        edges = tf.gather(table, places[:4])  # (4, 2)
        weight = []
        if weighted:
            weights = tf.gather(table, places[8])
            weight = [tf.where(stale, weights[0], tf.reduce_sum(weights))]
            average = tf.reduce_sum(edges * weights, axis=1) / tf.reduce_sum(weights)
            edges = tf.where(stale, edges[:, 0], average)  # times 3 and divided by 3 isn't the same
        else:
            edges = tf.reduce_mean(edges, axis=1)
        merged = _entries(tf.unstack(edges, num=4), weight)
        column = tf.stack(merged)
        columns = tf.stack([column, tf.where(stale, column, nowhere)], axis=1)  # (rows, 2)
        table = tf.tensor_scatter_nd_update(table, places[:, :, None], columns)

        scores = match_score(merged, tf.unstack(tf.reshape(table, [rows, size]), num=rows), match)
        after = tf.where(order > first, scores, infinity)
        found = tf.argmin(after, output_type=tf.int32)
        least = tf.gather(after, found)
        # Boxes before the merged one may have it as their nearest now.
        before = tf.where(order < first, scores, infinity)
        moved = (nearest == first) | (nearest == second)
        nearest = tf.where(
            before < bound,
            first,
            tf.where(before == bound, tf.minimum(nearest, first), tf.where(moved, STALE, nearest)),
        )
        bound = tf.minimum(bound, before)
        pair = pair[:, None]
        bound = tf.tensor_scatter_nd_update(
            bound, pair, tf.stack([least, tf.where(stale, least, infinity)])
        )
        nearest = tf.tensor_scatter_nd_update(
            nearest, pair, tf.stack([found, tf.where(stale, found, -2 - first)])
        )
        first = tf.argmin(bound, output_type=tf.int32)
        return step + 1, first, tf.gather(bound, first), table, bound, nearest

    first = tf.argmin(bound, output_type=tf.int32)
    _, _, _, table, bound, nearest = tf.while_loop(
        more,
        merge_or_look,
        (0, first, tf.gather(bound, first), tf.reshape(table, [-1]), bound, nearest),
        parallel_iterations=1,
    )
    return tf.reshape(table, [rows, size]), bound, nearest


def _first_neighbours(table, match):
    """Scores (N,) and places (N,) of the nearest box after each; infinity where there is none."""
    rows, count = table.shape[0], tf.shape(table)[1]
    blocks = -(-count // BLOCK)

    def search(i, bound, nearest):
        start = i * BLOCK
        rest = table[:, start:]
        some = rest[:, :BLOCK]
        scores = match_score(
            tf.unstack(some[:, :, None], num=rows), tf.unstack(rest[:, None], num=rows), match
        )  # (BLOCK, N - start)
        after = tf.range(count - start) > tf.range(tf.shape(some)[1])[:, None]
        scores = tf.where(after, scores, tf.constant(np.inf, table.dtype))
        found = tf.argmin(scores, axis=1, output_type=tf.int32)
        return i + 1, bound.write(i, tf.reduce_min(scores, 1)), nearest.write(i, start + found)

    found = [
        tf.TensorArray(dtype, blocks, element_shape=(None,), infer_shape=False)
        for dtype in (table.dtype, tf.int32)
    ]
    _, *found = tf.while_loop(lambda i, *_: i < blocks, search, (0, *found), parallel_iterations=1)
    return [array.concat() for array in found]


def match_score(a, b, match):
    """Scores of boxes, each a list of a table's rows, which broadcast against each other."""
    width = tf.nn.relu(tf.minimum(a[2], b[2]) - tf.maximum(a[0], b[0]))
    height = tf.nn.relu(tf.minimum(a[3], b[3]) - tf.maximum(a[1], b[1]))
    intersection = width * height
    # Twice the distance of the centres over twice the mean side.
    square = tf.math.squared_difference(a[5], b[5]) + tf.math.squared_difference(a[6], b[6])
    distance = tf.sqrt(square) / ((a[7] + b[7]) / 2)
    areas = a[4] + b[4]
    if match == "iou":
        return distance + (1 - intersection / (areas - intersection))
    share = intersection / (areas / 2)
    return distance + (1 - share if match == "intersection" else share)


def _entries(edges, weight=()):
    """The rows of a table: edges, area, twice the centre, half the perimeter, weight if any."""
    x0, y0, x1, y1 = edges
    tiny = tf.constant(1e-30, x0.dtype)  # so that a box of no size divides nothing by zero
    width, height = x1 - x0, y1 - y0
    area, half_perimeter = tf.maximum(width * height, tiny), tf.maximum(width + height, tiny)
    return [x0, y0, x1, y1, area, x0 + x1, y0 + y1, half_perimeter, *weight]
