"""Real images to check an export on, and what the Keras model says about them."""

import importlib.resources

import numpy as np
import tensorflow as tf

from tfcnns import answers
from tfcnns.detection import detect
from tfcnns.errors import UserError
from tfcnns.pipelines import images, jpeg
from tfcnns.pipelines.orientation import JPEG_START, PNG_START
from tfcnns.pipelines.source import Encoded

from .endpoints import BOXES, BYTES, IMAGE_BYTES, IMAGES, TENSORS

_TEST_IMAGES = 6
_PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # 640 x 427 pixels, in scikit-learn's package


def photographs():
    """The bytes of scikit-learn's two photographs."""
    folder = importlib.resources.files("sklearn.datasets.images")
    return [(folder / name).read_bytes() for name in _PHOTOGRAPHS]


def test_files(run):
    """Some images of the run's own test split as the bytes of files; none if it isn't here."""
    try:
        if answers.detector_of(run) is not None:
            examples = run.recipe.boxes(run.config, "test").dataset().take(_TEST_IMAGES)
            return [_file(image) for image, *_ in examples]
        batch, _ = next(iter(run.recipe.data(run.config, "test", 0, 1)))
    except UserError:
        return []
    if batch.dtype != tf.uint8:
        return []
    crops = tf.reshape(batch, [-1, *batch.shape[-3:]])
    return [_file(image) for image in crops[:_TEST_IMAGES]]


def _file(image):
    """The bytes of an image's own file or, where the export reads no such files, of a PNG."""
    if isinstance(image, Encoded):
        data = image.data.numpy()
        if data.startswith((JPEG_START, PNG_START)):
            return data
        image = images.decode(data, image.name.numpy())
    return tf.io.encode_png(image).numpy()


def inputs(run, model, names):
    """For each of these endpoints a dict of its input: an array, or a list of files' bytes."""
    files = [*photographs(), *test_files(run)]
    found = {name: {IMAGE_BYTES: files} for name in names if name != TENSORS}
    found[TENSORS] = {IMAGES: labelled(run, model, _TEST_IMAGES)[0]}
    return {name: found[name] for name in names}


def write_example(folder, given):
    """Writes the last of the files that bytes are checked with as example.jpg or example.png."""
    data = given[BYTES][IMAGE_BYTES][-1]
    ending = "jpg" if data.startswith(JPEG_START) else "png"
    (folder / f"example.{ending}").write_bytes(data)


def fixed_shape(run, model):
    """The shape of one image, (1, H, W, C); of a model that takes any, that of training."""
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape:
        try:
            shape = run.recipe.data(run.config, "train", 0, 1).element_spec[0].shape[-3:]
        except UserError:  # its data or an earlier run isn't here
            shape = (run.config["size"], run.config["size"], shape[-1])
    return (1, *shape)


def training_images(run, count):
    """So many images (N, H, W, C) float32 as training sees them."""
    try:
        dataset = run.recipe.data(run.config, "train", 0, 1)
    except UserError as error:
        raise UserError(f"int8 is scaled by training images, which aren't here: {error}") from error
    batches = []
    for batch, _ in dataset:
        batches.append(np.asarray(batch, "float32"))
        if sum(map(len, batches)) >= count:
            break
    return np.concatenate(batches)[:count]


def labelled(run, model, count):
    """Up to so many test images (N, H, W, C) of `fixed_shape`, and their labels (N,) or None.

    Where there are no such images, the photographs at that shape.
    """
    shape = fixed_shape(run, model)
    dtype, pixels, truths = model.inputs[0].dtype, [], []
    try:
        for batch, labels in run.recipe.data(run.config, "test", 0, 1):
            crops = np.asarray(batch, dtype).reshape(-1, *batch.shape[-3:])
            if crops.shape[1:] != shape[1:]:
                break
            pixels.append(crops)
            if not isinstance(labels, dict):
                truths.append(np.repeat(np.reshape(labels, -1), len(crops) // len(batch)))
            if sum(map(len, pixels)) >= count:
                break
    except UserError:
        pixels = []
    if not pixels:
        photos = [images.decode(data, channels=shape[-1]) for data in photographs()]
        photos = [jpeg.cover(photo, shape[1:3]).numpy() for photo in photos]
        return np.stack(photos).astype(dtype), None
    pixels = np.concatenate(pixels)[:count]
    labels = np.concatenate(truths)[:count] if truths else None
    return pixels, labels if labels is not None and len(labels) == len(pixels) else None


def expected(run, model, given, max_boxes):
    """What the endpoints must answer to `given`, from the Keras model and this package's code."""
    functions = {TENSORS: _of_tensors, BYTES: _of_bytes, BOXES: _boxes}
    return {
        name: functions[name](run, model, next(iter(values.values())), max_boxes)
        for name, values in given.items()
    }


def _of_tensors(run, model, values, _):
    outputs = model.predict_on_batch(values)
    outputs = outputs if isinstance(outputs, dict) else {"scores": outputs}
    return {name: np.asarray(value, "float32") for name, value in outputs.items()}


def _of_bytes(run, model, files, _):
    names = [f"image {n}" for n in range(len(files))]
    seen = answers.views_of_files(answers.view_of(run), files, names)
    return {"scores": answers.class_scores(run, model, seen)}


def _boxes(run, model, files, max_boxes):
    arguments = {**answers.detector_of(run), "max_boxes": max_boxes}
    rows = []
    for data in files:
        image = images.decode(data, channels=model.input_shape[-1])
        boxes, classes, scores = (np.asarray(part) for part in detect(model, image, **arguments))
        empty = max_boxes - len(scores)
        rows.append(
            {
                "boxes": np.pad(boxes, [(0, empty), (0, 0)]),
                "classes": np.pad(classes, (0, empty), constant_values=-1),
                "scores": np.pad(scores, (0, empty)),
                "count": np.int32(len(scores)),
            }
        )
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
