"""python -m tfcnns.train: trains a recipe and leaves a run directory behind."""

import pathlib
import shlex
import sys

from absl import flags

from tfcnns import cli, recipes, runs
from tfcnns.errors import UserError
from tfcnns.training import settings

USAGE = """\
Trains a recipe with model.fit.

  python -m tfcnns.train --recipe=nin_digits --out=runs/digits
  python -m tfcnns.train --recipe=my_recipe.py --out=runs/mine --set width=0.5
  python -m tfcnns.train --out=runs/digits --resume
  python -m tfcnns.train --list
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("recipe", None, "name from --list, or path of a Python file", **_own)
flags.DEFINE_string("out", None, "directory of the run; must be new or empty", **_own)
flags.DEFINE_boolean("list", False, "show the recipes and the papers' numbers", **_own)
flags.DEFINE_boolean("overwrite", False, "replace the run in --out", **_own)
flags.DEFINE_boolean("resume", False, "go on with the run in --out", **_own)
flags.DEFINE_integer("epochs", None, "passes over the training data; the recipe's own", **_own)
flags.DEFINE_integer("batch_size", None, "images a step; the recipe's own", **_own)
flags.DEFINE_integer("seed", None, "decides weights, order and noise; the recipe's own", **_own)
flags.DEFINE_float("learning_rate", None, "at the start; the recipe's own", **_own)
flags.DEFINE_multi_string("set", [], "name=value of the recipe's config; repeatable", **_own)
cli.define_data_flags(FLAGS)
flags.DEFINE_boolean("deterministic", False, "equal runs are equal to the bit; slower", **_own)
flags.DEFINE_integer("checkpoint_steps", None, "also save the state after so many steps", **_own)
flags.DEFINE_float("checkpoint_minutes", 10.0, "also save it after so many minutes", **_own)

_SHORTHAND = ("epochs", "batch_size", "seed", "learning_rate")


def main(rest):
    if FLAGS.list:
        print(recipe_table())
        return
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    if not FLAGS.out:
        raise UserError("--out is missing: the directory to write the run to")
    for name in ("checkpoint_steps", "checkpoint_minutes"):
        if FLAGS[name].value is not None and FLAGS[name].value <= 0:
            raise UserError(f"--{name} must be above 0, got {FLAGS[name].value}")
    if FLAGS.resume:
        return _resume()
    if not FLAGS.recipe:
        raise UserError("--recipe is missing; --list shows them")
    path = recipes.find(FLAGS.recipe)
    runs.check_out(FLAGS.out, FLAGS.overwrite)
    cli.start_tensorflow(FLAGS.verbosity)
    recipe = runs.load_recipe(path)
    config = cli.with_data_flags(settings.with_values(recipe.config(), _given()), FLAGS)
    parts = _prepare(recipe, config, FLAGS.deterministic)
    kept = {name: FLAGS[name].value for name in ("deterministic",)}
    run = runs.create_run(FLAGS.out, path, config, kept, FLAGS.overwrite)
    return _train(run, parts, None)


def _resume():
    run = runs.open_run(FLAGS.out)
    if FLAGS.recipe or FLAGS.overwrite or set(_given()) - {"epochs"}:
        raise UserError("--resume takes everything from the run itself; only --epochs may change")
    config = cli.with_data_flags(settings.with_values(run.config, _given()), FLAGS)
    cli.start_tensorflow(FLAGS.verbosity)
    from tfcnns.training import checkpoints

    checkpoint = checkpoints.latest(run.checkpoints)
    if checkpoint:
        done = checkpoints.read_state(checkpoint)["epoch"]
        if done > config["epochs"]:
            raise UserError(f"--epochs={config['epochs']}: the run has done {done} already")
    parts = _prepare(run.recipe, config, run.settings["flags"]["deterministic"])
    return _train(run, parts, checkpoint)


def _prepare(recipe, config, deterministic):
    from tfcnns.training import trainer

    trainer.set_seeds(config.get("seed", 0), deterministic)
    return trainer.prepare(recipe, config)


def _train(run, parts, checkpoint):
    from tfcnns.training import trainer
    from tfcnns.training.checkpointing import Stopped

    print(
        f"{run.name}: {parts.model.count_params():,} parameters, "
        f"{parts.config['epochs']} epochs of {parts.steps_per_epoch} steps; "
        f"writing to {run.path}" + (f", going on from {checkpoint.name}" if checkpoint else "")
    )
    with run.lock():
        run.update_config(parts.config)
        try:
            rows = trainer.train(
                run,
                parts,
                checkpoint=checkpoint,
                every_steps=FLAGS.checkpoint_steps,
                every_minutes=FLAGS.checkpoint_minutes,
                verbose=1 if sys.stdout.isatty() else 2,
            )
        except Stopped as stopped:
            print(f"\n{stopped}; go on with:\n  {_again(run.path)}")
            return 130
        except KeyboardInterrupt:
            print(f"\nstopped at once; go on from the last saved state with:\n  {_again(run.path)}")
            return 130
    seconds = sum(row["seconds"] for row in rows)
    print(f"trained {len(rows)} epochs in {seconds:.0f} s: {run.path}/model.keras")
    print(f"next: python -m tfcnns.evaluate --run={shlex.quote(str(run.path))}")


def recipe_table():
    """The recipes with the paper's number and their parameters, one a line."""
    rows = [("recipe", "parameters", "paper", "table", "number")]
    for name in recipes.names():
        paper = recipes.paper(recipes.find(name))
        count = paper.get("parameters")
        rows.append(
            (
                name,
                f"{count:,}" if count else "",
                paper.get("paper", ""),
                paper.get("table", ""),
                paper.get("number", ""),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _given():
    """The values of the config that the command line gives."""
    values = {name: FLAGS[name].value for name in _SHORTHAND if FLAGS[name].value is not None}
    return {**settings.parse_pairs(FLAGS.set), **values}


def _again(path):
    command = f"python -m tfcnns.train --out={shlex.quote(str(pathlib.Path(path)))} --resume"
    return command


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
