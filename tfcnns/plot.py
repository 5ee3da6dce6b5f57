"""python -m tfcnns.plot: pictures of a finished run, and one page that shows them."""

import os

from absl import flags

from tfcnns import cli, runs
from tfcnns.errors import UserError
from tfcnns.files import check_can_write
from tfcnns.training import settings

USAGE = """\
Draws a run's pictures into RUN/plots and RUN/report.html.

  python -m tfcnns.plot --run=runs/digits
  python -m tfcnns.plot --run=runs/digits --link=runs/detector
  python -m tfcnns.plot --run=runs/digits --compare=runs/slower --compare=runs/faster

Of a classifier: learning curves, the first layer's filters, the confusion matrix, the worst
mistakes, class maps (Network in Network), and images that the last hidden layer finds alike. Of
a detector: scenes with their boxes, votes of the windows, precision and recall.
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run", **_own)
flags.DEFINE_multi_string("link", [], "another run, whose page this one links; repeatable", **_own)
flags.DEFINE_multi_string(
    "compare", [], "another run, whose learning curves are drawn too; repeatable, up to 6", **_own
)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)
cli.define_data_flags(FLAGS)
flags.DEFINE_multi_string(
    "set", [], "name=value of the run's config, for these pictures; repeatable", **_own
)

_COMPARED = 6  # runs beside the own, so that each has a colour


def main(rest):
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    if not FLAGS.run:
        raise UserError("--run is missing: the directory of a run")
    run_ = runs.open_run(FLAGS.run)
    check_can_write(run_.path, "--run")
    changes = settings.parse_pairs(FLAGS.set)
    run_.config = cli.with_data_flags(settings.with_values(run_.config, changes), FLAGS)
    if len(FLAGS.compare) > _COMPARED:
        raise UserError(f"--compare: expected up to {_COMPARED} runs, got {len(FLAGS.compare)}")
    others = [runs.open_run(path) for path in FLAGS.compare]
    for other in others:
        if not other.history():
            raise UserError(f"--compare: {other.path} has no epoch to draw")
        if other.path.samefile(run_.path):
            raise UserError(f"--compare: {other.path} is the run itself")
    cli.start_tensorflow(FLAGS.verbosity)
    from tfcnns.plots import run_report

    links = []
    for path in FLAGS.link:
        page = runs.open_run(path).path / "report.html"
        links.append((page.parent.name, os.path.relpath(page, run_.path)))
    print(f"look at {run_report.write(run_, FLAGS.weights, links, others)}")


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
