"""What XLA compiles in a training, as `--xla` chooses it: nothing, segments, or whole steps."""

import warnings

import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.layers import xla_segments

WAYS = ("auto", "segments", "step", "off")
# Of each kind of device, what "auto" means: see docs/xla.md for the measurements.
AUTO = {"CPU": "segments", "GPU": "segments"}


def choose_way(asked, strategy=None):
    """One of "segments", "step" and "off".

    Args:
        asked: that, or "auto", which goes by the kind of the first device.
        strategy: the tf.distribute strategy to train under, or None.

    Raises:
        UserError: "step" under a strategy.
    """
    if asked == "step" and strategy is not None:
        raise UserError(
            "--xla=step: whole steps can't be compiled under a strategy; use --xla=segments"
        )
    if asked != "auto":
        return asked
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return AUTO[kind]


def compiled_segments(way):
    """The context to build, trace and train a model in."""
    return xla_segments(way == "segments")


def set_step(model, way):
    """Has a compiled model compile whole steps, or not, whatever Keras' own "auto" would do.

    Raises:
        UserError: "step" for a model on several devices, with a layer that Keras knows not to
            work with XLA, or for runs equal to the bit, where Keras would leave XLA out.
    """
    if way == "step" and len({v.value.device for v in model.variables}) > 1:
        raise UserError(
            "--xla=step: whole steps can't be compiled for a net on several devices; "
            "use --xla=segments"
        )
    with warnings.catch_warnings(action="ignore"):
        model.jit_compile = way == "step"
    if way == "step" and not model.jit_compile:
        raise UserError(
            "--xla=step: Keras leaves XLA out with --deterministic and for some layers; "
            "use --xla=segments"
        )
