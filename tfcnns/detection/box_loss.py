"""The box regressor's loss and how well its boxes fit (OverFeat, section 4.2)."""

import keras
from keras import ops

from .negatives import mean_by_image


@keras.saving.register_keras_serializable(package="tfcnns")
class BoxLoss(keras.losses.Loss):
    """The l2 loss between the predicted and the true box, over the windows that have one.

        L = (1 / n) sum over windows with an object of  sum over edges of (edge - true edge)^2

    with n the number of these windows in the batch; in a replica's or a pass's part of it, under
    `make_strategy` and `accumulate`, in the whole batch.

    y_true: (N, h, w, 5) from `box_targets`: edges in units of the window, and the object's label,
        below 0 for a window that isn't trained on.
    y_pred: (N, h, w, 4), or (N, h, w, classes, 4) from a regressor with a box for each class, of
        which only the object's is trained.
    """

    def __init__(self, name="box_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        boxes = own_boxes(y_true, y_pred)
        squares = ops.sum(ops.square(boxes - y_true[..., :4]), axis=-1)
        return mean_by_image(squares, y_true[..., 4] >= 0)

    def terms(self, y_true):
        """How many windows of each image are in the sum, (N,); a part of a batch has to know."""
        return ops.sum(ops.cast(y_true[..., 4] >= 0, "float32"), axis=(1, 2))


@keras.saving.register_keras_serializable(package="tfcnns")
class BoxIoU(keras.metrics.Mean):
    """Mean intersection over union of predicted and true boxes; windows as in `BoxLoss`."""

    def __init__(self, name="iou", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "float32")
        a, b = y_true[..., :4], own_boxes(y_true, ops.cast(y_pred, "float32"))
        common = ops.minimum(a[..., 2:], b[..., 2:]) - ops.maximum(a[..., :2], b[..., :2])
        common = ops.prod(ops.maximum(common, 0), axis=-1)
        areas = sum(ops.prod(ops.maximum(c[..., 2:] - c[..., :2], 0), axis=-1) for c in (a, b))
        iou = common / ops.maximum(areas - common, 1e-7)
        weights = ops.cast(y_true[..., 4] >= 0, "float32")
        return super().update_state(iou, sample_weight=weights)


def own_boxes(y_true, y_pred):
    """The predicted box of each window's own class, (N, h, w, 4)."""
    if len(y_pred.shape) == len(y_true.shape):
        return y_pred
    labels = ops.cast(ops.maximum(y_true[..., 4], 0), "int32")[..., None, None]
    return ops.take_along_axis(y_pred, labels, axis=-2)[..., 0, :]
