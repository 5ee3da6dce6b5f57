"""Which boxes of one scale go into the merge (OverFeat, section 4.3, steps a and b)."""

from keras import ops

from .counts import checked_count


def top_class_boxes(boxes, scores, k):
    """The boxes of the k classes that are most certain somewhere in the map.

    Steps (a) and (b), for one scale s; step (c) joins the results of all scales:

        (a) C_s = the classes in the top k, by the maximum of the class outputs over positions
        (b) B_s = the boxes that the regressor predicts for each class in C_s, at all positions

    Args:
        boxes: (H', W', 4), or (H', W', classes, 4) from a regressor with a box for each class.
        scores: (H', W', classes) class outputs of the same windows, without a background class.
        k: how many classes; the paper doesn't tell. No more than there are. Of classes with the
            same maximum the lower comes first.

    Returns: boxes (M, 4), scores (M,) and classes (M,) int32, M = H' W' k: all positions of the
        best class, then of the next; for `merge_boxes`, after the scales are concatenated.

    Raises: ValueError for k below 1, and for shapes that don't belong together.
    """
    k = checked_count("k", k, least=1)
    boxes, scores = ops.convert_to_tensor(boxes), ops.convert_to_tensor(scores)
    per_class = len(boxes.shape) == len(scores.shape) + 1
    if boxes.shape[-1] != 4 or not (per_class or len(boxes.shape) == len(scores.shape)):
        raise ValueError(
            "expected boxes (..., 4) or (..., classes, 4) with scores (..., classes). "
            f"Received: shapes {tuple(boxes.shape)} and {tuple(scores.shape)}"
        )
    classes = scores.shape[-1]
    k = min(k, classes)
    scores = ops.reshape(scores, (-1, classes))  # (positions, classes)
    boxes = ops.reshape(boxes, (-1, classes if per_class else 1, 4))
    _, chosen = ops.top_k(ops.max(scores, axis=0), k)
    scores = ops.transpose(ops.take(scores, chosen, axis=1))  # (k, positions)
    boxes = ops.take(boxes, chosen, axis=1) if per_class else ops.repeat(boxes, k, axis=1)
    boxes = ops.transpose(boxes, (1, 0, 2))  # (k, positions, 4)
    kinds = ops.broadcast_to(ops.cast(chosen, "int32")[:, None], ops.shape(scores))
    return ops.reshape(boxes, (-1, 4)), ops.reshape(scores, (-1,)), ops.reshape(kinds, (-1,))
