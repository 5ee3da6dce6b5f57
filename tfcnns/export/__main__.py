"""python -m tfcnns.export: from a trained run to what serves it."""

import sys

from absl import flags

from tfcnns import cli, runs
from tfcnns.errors import UserError

USAGE = """\
Writes a run's model as a SavedModel, LiteRT or ONNX into OUT/1, OUT/2, ... and checks it.

  python -m tfcnns.export --run=runs/digits --out=exports/digits

A process that has TensorFlow and not this package loads what was written and must answer as the
Keras model does, on real images; else nothing is published, and the exit code is 1.
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run", **_own)
flags.DEFINE_string("out", None, "directory of versions to write into", **_own)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)
flags.DEFINE_integer(
    "version", None, "number of the version; the one after the largest", lower_bound=1, **_own
)
flags.DEFINE_boolean("verify", True, "check it in a process without this package", **_own)

_own = cli.themed(FLAGS, "What is written")
flags.DEFINE_list("format", ["savedmodel"], "savedmodel, tflite, onnx, or several", **_own)
flags.DEFINE_list("tflite", ["float32"], "float32, float16, int8, or several files", **_own)
flags.DEFINE_integer(
    "max_boxes", 100, "boxes that an answer of detect has room for", lower_bound=1, **_own
)


def main(rest):
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    for name in ("run", "out"):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing; see --help")
    if FLAGS["tflite"].present and "tflite" not in FLAGS.format:
        raise UserError("--tflite is given, and --format has no tflite")
    run_ = runs.open_run(FLAGS.run)
    cli.start_tensorflow(FLAGS.verbosity)
    from tfcnns.export.check import Refused
    from tfcnns.export.exporting import export_run

    try:
        made = export_run(
            run_,
            FLAGS.out,
            FLAGS.format,
            FLAGS.tflite,
            FLAGS.version,
            FLAGS.weights,
            FLAGS.verify,
            FLAGS.max_boxes,
        )
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"exported: {made}")


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
