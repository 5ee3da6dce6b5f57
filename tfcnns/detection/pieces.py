"""What a detector is trained on: pieces of images, and what each of their windows should answer."""

import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.pipelines import jpeg, scene_views
from tfcnns.pipelines.batches import batches

from .geometry import geometry
from .scales import default_scales
from .targets import box_targets, class_targets, coarse_windows

WINDOWS = 5  # along each side of a piece, unless its size is given


def training_batches(source, model, batch_size=32, *, epochs=1, seed=0, **how):
    """The stream that trains an OverFeat with both heads to detect what a source shows.

        stream = training_batches(source, model, epochs=12)
        model.fit(stream, epochs=12, steps_per_epoch=len(stream) // 12, shuffle=False)

    Args:
        source: images with boxes, such as `pipelines.box_source.from_scenes` makes of arrays, with
            or without flags of crowds; what those show is no background. Sources that leave
            crowds out (`open_boxes` without `crowds=True`) train on them as on background.
        model: `overfeat(classes=source.classes + 1, head="both")`: the background is last.
        batch_size: pieces a step, one of each image.
        epochs: the stream ends after that many passes over the images.
        seed: of the order of the images, and of what is cut out of each.
        **how: size, scales, jitter, ... as for `training_piece`.

    Returns: tf.data.Dataset of epochs * steps batches: pieces, float32 (N, size, size, C), 0 to
        255, and targets, a dict of "boxes", (N, h, w, 5) for `BoxLoss`, and "classifier", int32
        (N, h, w) for `MinedCrossentropy(background=source.classes)`.
    Raises: UserError if the model has another number of classes, or as `batches`.
    """
    output = model.output["classifier"] if isinstance(model.output, dict) else None
    if output is None or output.shape[-1] != source.classes + 1:
        found = "no two heads" if output is None else f"{output.shape[-1]} classes"
        raise UserError(
            f"expected a model with head='both' and {source.classes} + 1 classes, those of the "
            f"images and the background. Received: {model.name} with {found}"
        )
    piece = training_piece(model, background=source.classes, **how)
    channels = model.input_shape[-1]

    def example(index, seed):
        image, boxes, labels, *crowd = source.example(index)
        return piece(jpeg.decode(image, channels), boxes, labels, seed, *crowd)

    return batches(example, len(source), batch_size, seed=seed, shuffle=True, epochs=epochs)


def training_piece(
    model,
    size=None,
    scales=None,
    *,
    background=None,
    jitter=0.15,
    about=0.7,
    overlap="object",
    least=0.5,
    sides=(0.3, 1.1),
    positive=0.75,
    positive_sides=(0.4, 1.05),
    near_sides=(0.25, 1.5),
):
    """Function of image, boxes, labels, seed: a piece of the image and its windows' targets.

    A fifth argument may say which boxes are crowds or difficult, bool (n,): pieces aren't taken
    to show them, they train no box, and windows on them are no background (`class_targets`).

    A piece begins anywhere in the image at one of the scales, so that the windows of a step lie
    at any offset, and those of many steps at all of them.

    Args:
        model: an OverFeat, or its `Geometry`.
        size: side of the piece in pixels; None for 5 x 5 windows.
        scales: short sides that images are scaled to, pixels; None for `default_scales`.
        background: label of windows without an object; None: the classifier is asked for an
            object's class alone, where the regressor is asked for its box.
        jitter: scales are larger or smaller by up to this part.
        about: the part of the pieces that show an object at a size that counts.
        overlap, least, sides: which windows are asked for a box, as in `match_objects`.
        positive, positive_sides: which are asked for an object's class (`class_targets`: least,
            sides).
        near_sides: a window with half of an object of that size isn't background.

    Sizes of objects are their longer sides, in sides of the window.

    Returns: the function; what it returns is described in `training_batches`, without N.
    """
    g = model if hasattr(model, "window") else geometry(model)
    size = g.window + (WINDOWS - 1) * g.stride if size is None else size
    scales = default_scales(g) if scales is None else scales
    windows = coarse_windows(g, size, size)

    def piece(image, boxes, labels, seed, crowd=None):
        image, boxes = scene_views.mixed_view(
            image,
            boxes,
            scene_views.objects_alone(labels, crowd),
            size,
            scales,
            seed,
            jitter,
            sides=[side * g.window for side in positive_sides],
            about=about,
        )
        rules = {"least": least, "overlap": overlap, "sides": sides}
        targets = {"boxes": box_targets(windows, boxes, labels, crowd, **rules)}
        targets["classifier"] = tf.cast(targets["boxes"][..., 4], tf.int32)
        if background is not None:
            targets["classifier"] = class_targets(
                windows,
                boxes,
                labels,
                background=background,
                least=positive,
                sides=positive_sides,
                near=near_sides,
                crowd=crowd,
            )
        return image, targets

    return piece
