"""python -m tfcnns.plot: pictures of a finished run, and one page that shows them."""

import os

from absl import flags

from tfcnns import cli, runs
from tfcnns.errors import UserError

USAGE = """\
Draws a run's pictures into RUN/plots and RUN/report.html.

  python -m tfcnns.plot --run=runs/digits
  python -m tfcnns.plot --run=runs/digits --link=runs/detector
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run", **_own)
cli.define_data_flags(FLAGS)
flags.DEFINE_multi_string("link", [], "another run, whose page this one links; repeatable", **_own)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)


def main(rest):
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    if not FLAGS.run:
        raise UserError("--run is missing: the directory of a run")
    run_ = runs.open_run(FLAGS.run)
    run_.config = cli.with_data_flags(run_.config, FLAGS)
    cli.start_tensorflow(FLAGS.verbosity)
    from tfcnns.plots import run_report

    links = []
    for path in FLAGS.link:
        page = runs.open_run(path).path / "report.html"
        links.append((page.parent.name, os.path.relpath(page, run_.path)))
    print(f"look at {run_report.write(run_, FLAGS.weights, links)}")


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
