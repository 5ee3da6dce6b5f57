"""What an export answers: graphs of a run's model that begin at tensors or at image files.

All are traced without XLA segments and without the names of devices: a server may have neither.
"""

import contextlib

import tensorflow as tf

from tfcnns import answers
from tfcnns.detection import detect, multiscale_vote
from tfcnns.errors import UserError
from tfcnns.layers import device_pins, xla_segments
from tfcnns.pipelines import jpeg
from tfcnns.pipelines.served import Served

TENSORS, BYTES, BOXES = "serving_default", "serve_image_bytes", "detect"
IMAGES, IMAGE_BYTES = "images", "image_bytes"  # names of the inputs
_PYTHON = ("PyFunc", "EagerPyFunc", "PyFuncStateless")  # operations that call back into Python


@contextlib.contextmanager
def for_servers():
    """Within it a model is loaded and traced for machines that may be unlike this one."""
    with device_pins(False), xla_segments(False):
        yield


def make_endpoints(run, model, max_boxes=100):
    """The endpoints that a run can have, traced, a dict of name and ConcreteFunction.

    serving_default: images (N, H, W, C), the model's own input, to its own outputs.
    serve_image_bytes: image_bytes (N,), files, to scores (N, classes), class_ids (N,) and
        class_names (N,) of the best; only where the recipe has a `view`.
    detect: image_bytes (N,) to boxes (N, max_boxes, 4), classes, class_names and scores
        (N, max_boxes), count (N,); only of a run with boxes.

    Args:
        run: the `Run`.
        model: its model, loaded within `for_servers`.
        max_boxes: how many boxes an image may have; where there are fewer, the rest are zeros of
            class -1.

    Raises: UserError for a model of several inputs, and for what calls Python when it runs.

    The two that begin at files decode them as `pipelines.served` tells.
    """
    if len(model.inputs) != 1:
        raise UserError(f"{run.path}: expected a model of one input, it has {len(model.inputs)}")
    functions = {TENSORS: on_tensors(model, model.inputs[0].shape)}
    view, arguments = answers.view_of(run), answers.detector_of(run)
    if view is not None:
        functions[BYTES] = _on_bytes(run, model, view)
    if arguments is not None:
        arguments = {**arguments, "max_boxes": max_boxes}
        functions[BOXES] = _boxes_of_bytes(run, model, arguments)
    with for_servers():
        traced = {name: _traced(name, function, run) for name, function in functions.items()}
    return traced


def on_tensors(model, shape):
    """serving_default as a tf.function, for images of this shape, (N, H, W, C)."""
    signature = [tf.TensorSpec(shape, model.inputs[0].dtype, name=IMAGES)]

    @tf.function(input_signature=signature, autograph=False)
    def serving_default(images):
        return named(model(images, training=False))

    return serving_default


def named(outputs):
    """A model's outputs as serving_default has them: a dict, float32."""
    outputs = outputs if isinstance(outputs, dict) else {"scores": outputs}
    return {name: tf.cast(values, tf.float32) for name, values in outputs.items()}


def _on_bytes(run, model, view):
    vote = answers.vote_of(run)
    if vote is None and isinstance(model.output, dict):
        raise UserError(
            f"{run.path} has a view, but several outputs: expected scores alone, or vote"
        )

    def voted(image):
        scores = multiscale_vote(model, view(image), **vote)
        scores = scores[: scores.shape[0] - answers.has_background(run)]
        return scores / tf.reduce_sum(scores)

    @_on_files
    def serve_image_bytes(files):
        scores = _each(voted, files) if vote else _of_views(model, _each(view, files))
        best = tf.argmax(scores, axis=1, output_type=tf.int32)
        names = tf.constant(answers.class_names(run, scores.shape[1]))
        return {"scores": scores, "class_ids": best, "class_names": tf.gather(names, best)}

    return serve_image_bytes


def _of_views(model, seen):
    """Scores (N, classes): the mean over the views of an image, and over all positions."""
    several = seen.shape.rank == 5
    views = seen.shape[1] if several else 1
    count = tf.shape(seen)[0]
    if several:
        seen = tf.reshape(seen, tf.concat([[count * views], tf.shape(seen)[2:]], 0))
    scores = tf.cast(model(seen, training=False), tf.float32)
    scores = tf.reduce_mean(scores, axis=list(range(1, scores.shape.rank - 1)))
    return tf.reduce_mean(tf.reshape(scores, [count, views, scores.shape[-1]]), axis=1)


def _boxes_of_bytes(run, model, arguments):
    channels, most = model.input_shape[-1], arguments["max_boxes"]
    names = tf.constant([*answers.detector_names(run, model), ""])

    def padded(values, filler):
        missing = [[0, most - tf.shape(values)[0]], *[[0, 0]] * (values.shape.rank - 1)]
        return tf.ensure_shape(
            tf.pad(values, missing, constant_values=filler), [most, *values.shape[1:]]
        )

    def one(image):
        boxes, kinds, scores = detect(model, jpeg.decode(image, channels), **arguments)
        names_of = padded(tf.gather(names, kinds), "")
        return {
            "boxes": padded(boxes, 0.0),
            "classes": padded(kinds, -1),
            "class_names": names_of,
            "scores": padded(scores, 0.0),
            "count": tf.shape(scores)[0],
        }

    return _on_files(lambda files: _each(one, files))


def _on_files(function):
    """A tf.function of image_bytes (N,) from one of `Served` files."""

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.string, name=IMAGE_BYTES)], autograph=False
    )
    def on_bytes(image_bytes):
        numbers = tf.strings.as_string(tf.range(tf.size(image_bytes)))
        return function(Served(image_bytes, "image " + numbers + " of the batch"))

    return on_bytes


def _each(function, files):
    """function(Served) of each file, stacked."""
    text = tf.TensorSpec((), tf.string)
    one = tf.function(lambda data, name: function(Served(data, name)), autograph=False)
    one = one.get_concrete_function(text, text)
    signature = tf.nest.map_structure(
        lambda x: tf.TensorSpec(x.shape, x.dtype), one.structured_outputs
    )
    return tf.map_fn(lambda file: one(*file), tuple(files), fn_output_signature=signature)


def _traced(name, function, run):
    try:
        traced = function.get_concrete_function()
    except (AttributeError, NotImplementedError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{run.path}: {name} can't become a graph, expected TensorFlow operations alone: "
            f"{first}"
        ) from error
    for node in operations(traced.graph.as_graph_def()):
        if node.op in _PYTHON:
            raise UserError(
                f"{run.path}: {name} calls Python when it runs ({node.op} {node.name}), which a "
                "server doesn't have; expected TensorFlow operations alone"
            )
    return traced


def operations(graph):
    """All nodes of a GraphDef, those of its functions too."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def
