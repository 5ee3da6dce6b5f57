"""LiteRT files (once TensorFlow Lite): one image at a time, from tensors; 32, 16 or 8 bits."""

import contextlib
import os
import pathlib
import tempfile

import tensorflow as tf

from tfcnns.errors import UserError

from . import to_savedmodel
from .endpoints import TENSORS, for_servers, on_tensors

PRECISIONS = ("float32", "float16", "int8")


def write(file, model, shape, precision="float32", calibration=None):
    """Converts serving_default and writes it to a file.

    Args:
        file: path to write.
        model: the keras.Model.
        shape: (1, H, W, C) of its input.
        precision: "float32"; "float16", of weights alone; or "int8" of weights and activities,
            whose input and outputs stay float32.
        calibration: for int8, images (N, H, W, C) that activities are scaled by.

    Raises: UserError if the model has what LiteRT lacks.
    """
    with tempfile.TemporaryDirectory() as folder:
        with for_servers():
            traced = on_tensors(model, shape).get_concrete_function()
        to_savedmodel.write(folder, model, {TENSORS: traced})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: ([image[None]] for image in calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        try:
            with _quiet():
                data = converter.convert()
        except Exception as error:  # what it raises has no class of its own
            lines = [line for line in str(error).splitlines() if "error:" in line] or [str(error)]
            raise UserError(f"tflite, {precision}: {lines[0].strip()[:300]}") from error
    pathlib.Path(file).write_bytes(data)


@contextlib.contextmanager
def _quiet():
    """Drops what the converter writes to standard error, which is not for users."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
