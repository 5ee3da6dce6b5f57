"""OverFeat's vote of all windows, scales and flips on the class of an image (section 3.3)."""

import keras
from keras import ops

from tfcnns.pipelines.transforms import resize

from .dense import dense_net
from .scales import default_scales, scaled_shape


def multiscale_vote(model, image, scales=None, flip=True):
    """Each class's score for the whole image.

    Section 3.3: "(i) taking the spatial max for each class, at each scale and flip; (ii) averaging
    the resulting C-dimensional vectors from different scales and flips", of which the largest
    (or the five largest) are the answer:

        vote[c] = mean over scales s and flips f of  max over i, j of  p_{s, f}[i, j, c]

    The paper doesn't say whether p are softmax outputs or the scores before. Here they are what
    the softmax of each window gives, as in the authors' own sample of ten views; they don't sum
    to one any more. A classifier that ends without an activation gets its softmax here.

    Args:
        model: an OverFeat with a classifier.
        image: (H, W, C), as for `dense_map`.
        scales: short sides in pixels, or pairs (height, width), as for `scaled_shape`; None for
            the six `default_scales`.
        flip: whether the mirror image votes too.

    Returns: (classes,) float32.
    Raises: ValueError for a model without a classifier, an empty list of scales, and as
        `dense_map` and `scaled_shape`.
    """
    net = dense_net(model)
    image = net.checked(image)
    scales = default_scales(net.geometry) if scales is None else list(scales)
    if not scales:
        raise ValueError("expected at least one scale. Received: scales=[]")
    votes = []
    for scale in scales:
        shape = scaled_shape(net.geometry, ops.shape(image), scale)
        views = net.fitted(resize(image, *shape))[None]  # (1, H, W, C)
        if flip:
            views = ops.concatenate([views, ops.flip(views, axis=2)])
        scores = net(views, ["classifier"])["classifier"]  # (flips, H', W', classes)
        if getattr(net.heads["classifier"][-1], "activation", None) is keras.activations.linear:
            scores = ops.softmax(scores)
        votes.append(ops.max(scores, axis=(1, 2)))  # (flips, classes)
    return ops.mean(ops.concatenate(votes), axis=0)
