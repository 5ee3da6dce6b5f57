"""python -m tfcnns.evaluate: errors of a finished run on data it has not seen."""

import json

from absl import flags

from tfcnns import cli, runs
from tfcnns.errors import UserError

USAGE = """\
Evaluates a run's saved model and writes evaluation.json into the run.

  python -m tfcnns.evaluate --run=runs/digits
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run", **_own)
flags.DEFINE_enum("split", "test", ["test", "validation"], "which data", **_own)
cli.define_data_flags(FLAGS)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)


def main(rest):
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    if not FLAGS.run:
        raise UserError("--run is missing: the directory of a run")
    run_ = runs.open_run(FLAGS.run)
    cli.start_tensorflow(FLAGS.verbosity)
    from tfcnns.training import evaluation

    model = run_.load_model(FLAGS.weights)
    config = cli.with_data_flags(run_.config, FLAGS)
    dataset = run_.recipe.data(config, FLAGS.split, 0, 1)
    if dataset is None:
        raise UserError(f"recipe {run_.name} has no {FLAGS.split} data")
    result = evaluation.measure(*evaluation.predict(model, dataset))
    result.update(split=FLAGS.split, weights=FLAGS.weights)
    file = run_.path / "evaluation.json"
    runs.write_whole(file, json.dumps(result).encode())
    print(summary(result, run_.config.get("class_names")))
    print(f"written to {file}")


def summary(result, class_names=None):
    """The errors in words, the classes with the most of them last."""
    lines = [
        f"{result['split']} error {100 * result['error']:.2f} % "
        f"({result['errors']} of {result['examples']}), loss {result['loss']:.4f}"
    ]
    if "top5_error" in result:
        lines.append(f"top-5 error {100 * result['top5_error']:.2f} %")
    worst = [(e, c) for c, e in enumerate(result["per_class_error"]) if e]
    for error, c in sorted(worst, key=lambda pair: (-pair[0], pair[1]))[:5]:
        name = class_names[c] if class_names else c
        lines.append(f"  class {name}: {100 * error:.1f} % wrong")
    return "\n".join(lines)


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
