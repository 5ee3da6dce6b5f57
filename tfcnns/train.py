"""python -m tfcnns.train: trains a recipe and leaves a run directory behind."""

import contextlib
import math
import pathlib
import shlex
import sys

from absl import flags

from tfcnns import cli, paths, recipes, runs
from tfcnns.errors import UserError
from tfcnns.training import settings

USAGE = """\
Trains a recipe with model.fit.

  python -m tfcnns.train --recipe=nin_digits --out=runs/digits
  python -m tfcnns.train --recipe=my_recipe.py --out=runs/mine --set width=0.5
  python -m tfcnns.train --out=runs/digits --resume
  python -m tfcnns.train --recipe=nin_digits --out=runs/digits --resume    starts it or goes on
  python -m tfcnns.train --list
"""

FLAGS = cli.new_flags()
_own = cli.themed(FLAGS, "The run")
flags.DEFINE_string("recipe", None, "name from --list, or path of a Python file", **_own)
flags.DEFINE_string("out", None, "directory of the run; must be new or empty", **_own)
flags.DEFINE_boolean("list", False, "show the recipes and the papers' numbers", **_own)
flags.DEFINE_boolean("overwrite", False, "replace the run in --out", **_own)
flags.DEFINE_boolean("resume", False, "go on with the run in --out", **_own)
flags.DEFINE_integer("checkpoint_steps", None, "also save the state after so many steps", **_own)
flags.DEFINE_float("checkpoint_minutes", 10.0, "also save it after so many minutes", **_own)
flags.DEFINE_boolean("deterministic", False, "equal runs are equal to the bit; slower", **_own)

_own = cli.themed(FLAGS, "What is trained")
flags.DEFINE_integer("epochs", None, "passes over the training data; the recipe's own", **_own)
flags.DEFINE_integer("batch_size", None, "images a step; the recipe's own", **_own)
flags.DEFINE_integer("seed", None, "decides weights, order and noise; the recipe's own", **_own)
flags.DEFINE_float("learning_rate", None, "at the start; the recipe's own", **_own)
flags.DEFINE_boolean(
    "scale_learning_rate", False, "times --batch_size over the recipe's own", **_own
)
flags.DEFINE_multi_string("set", [], "name=value of the recipe's config; repeatable", **_own)

cli.define_data_flags(FLAGS)
flags.DEFINE_list(
    "data_service",
    [],
    "grpc://host:port of tf.data services that make the batches",
    **cli.themed(FLAGS, "Data"),
)

_own = cli.themed(FLAGS, "Devices and speed")
flags.DEFINE_enum(
    "strategy",
    "one",
    ["one", "mirrored", "multiworker"],
    "one device, all of this machine, or all processes of TF_CONFIG",
    **_own,
)
flags.DEFINE_list("devices", [], "such as /GPU:0,/GPU:1; all GPUs, or else the CPUs", **_own)
flags.DEFINE_boolean(
    "show_placement",
    False,
    "show which device holds and works out what; without --out nothing is trained",
    **_own,
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "type to compute in; weights stay float32",
    **_own,
)
flags.DEFINE_enum(
    "gradient_dtype",
    "float32",
    ["float32", "bfloat16"],
    "type in which replicas exchange gradients",
    **_own,
)
flags.DEFINE_enum(
    "xla",
    "auto",
    ["auto", "segments", "step", "off"],
    "what XLA compiles: what docs/xla.md found best, or as named",
    **_own,
)
flags.DEFINE_integer(
    "accumulate", 1, "passes in which each batch goes through memory", lower_bound=1, **_own
)

# Flags that a resumed run takes from its start.
_KEPT = ("deterministic", "precision", "xla", "accumulate", "gradient_dtype")
_SHORTHAND = ("epochs", "batch_size", "seed", "learning_rate")


def main(rest):
    if FLAGS.list:
        print(recipe_table())
        return
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    if not FLAGS.out and (FLAGS.resume or not FLAGS.show_placement):
        raise UserError("--out is missing: the directory to write the run to")
    for name in ("checkpoint_steps", "checkpoint_minutes"):
        if FLAGS[name].value is not None and FLAGS[name].value <= 0:
            raise UserError(f"--{name} must be above 0, got {FLAGS[name].value}")
    if FLAGS.resume and not (FLAGS.recipe and runs.is_free(FLAGS.out)):
        return _resume()
    if not FLAGS.recipe:
        raise UserError("--recipe is missing; --list shows them")
    path = recipes.find(FLAGS.recipe)
    if FLAGS.gradient_dtype != "float32" and FLAGS.strategy == "one":
        raise UserError("--gradient_dtype is for replicas: give --strategy=mirrored or multiworker")
    if FLAGS.out and _cluster().is_chief:
        runs.check_out(FLAGS.out, FLAGS.overwrite)
    with _crew() as crew:
        recipe = runs.load_recipe(path)
        runs.check_alone(path)
        config = _config(recipe)
        _check_kept(config)
        kept = {name: FLAGS[name].value for name in _KEPT}
        parts = _prepare(recipe, config, kept, crew)
        places = _show_placement(parts) if FLAGS.show_placement else None
        if not FLAGS.out:
            return None
        if not crew.is_chief:
            return _help_train(parts, None)
        run = runs.create_run(FLAGS.out, path, config, kept, FLAGS.overwrite)
        if places:
            _draw_placement(places, run.path)
        with run.lock():
            return _train(run, parts, None)


def _resume():
    run = runs.open_run(FLAGS.out)
    if FLAGS.overwrite or (not FLAGS.recipe and set(_given()) - {"epochs"}):
        raise UserError("--resume takes everything from the run itself; only --epochs may change")
    changes = {name: value for name, value in _given().items() if name == "epochs"}
    # The lock first: another process may be about to write a newer checkpoint.
    with run.lock() if _cluster().is_chief else contextlib.nullcontext(), _crew() as crew:
        recipe = run.recipe  # it completes the run's config
        config = cli.with_data_flags(settings.with_values(run.config, changes), FLAGS)
        config = paths.absolute(config)
        if FLAGS.recipe:
            _check_same(run)
        from tfcnns.training import checkpoints

        crew.wait()
        checkpoint = checkpoints.latest(run.checkpoints)
        if checkpoint:
            done = checkpoints.read_state(checkpoint)["epoch"]
            if done > config["epochs"]:
                raise UserError(f"--epochs={config['epochs']}: the run has done {done} already")
        kept = {name: run.settings["flags"].get(name, FLAGS[name].default) for name in _KEPT}
        parts = _prepare(recipe, config, kept, crew, saved=True)
        if FLAGS.show_placement and crew.is_chief:
            _draw_placement(_show_placement(parts), run.path)
        return _train(run, parts, checkpoint) if crew.is_chief else _help_train(parts, checkpoint)


def _check_kept(config):
    """Raises UserError if --overwrite would delete what the training is to read."""
    if not (FLAGS.out and FLAGS.overwrite):
        return
    out = pathlib.Path(FLAGS.out).resolve()
    for name, path in paths.of(config):
        if pathlib.Path(path).resolve().is_relative_to(out):
            raise UserError(f"--overwrite would delete {name}={path}, which the training reads")


def _check_same(run):
    """Raises UserError if the command line asks for another run than the one that is there."""
    asked = {"recipe": pathlib.Path(FLAGS.recipe).stem, **_config(run.recipe)}
    there = {"recipe": run.name, **paths.absolute(run.config)}
    for name, value in asked.items():
        if name != "epochs" and there.get(name) != value:
            raise UserError(
                f"--resume: the run in {run.path} has {name}={there.get(name)!r}, not {value!r}"
            )


def _config(recipe):
    """The recipe's config with what the command line changes in it."""
    own = paths.absolute(recipe.config())
    config = cli.with_data_flags(settings.with_values(own, _given()), FLAGS)
    config = settings.with_class_names(paths.absolute(config), own)
    return settings.with_scaled_rate(config, own) if FLAGS.scale_learning_rate else config


def _cluster():
    from tfcnns.training import cluster

    return cluster.this() if FLAGS.strategy == "multiworker" else cluster.Cluster()


def _crew():
    """Starts TensorFlow on the devices and among the processes that the flags name."""
    cluster = _cluster()
    cli.start_tensorflow(FLAGS.verbosity)
    from tfcnns.training import services
    from tfcnns.training.crew import Crew
    from tfcnns.training.strategies import make_cpus, make_strategy

    services.check_there(FLAGS.data_service)
    make_cpus(FLAGS.devices)
    strategy = None
    if FLAGS.strategy != "one" or FLAGS.devices:
        strategy = make_strategy(FLAGS.strategy, FLAGS.devices)
    # Not earlier: a strategy has to be made before TensorFlow runs anything.
    services.check_readable(FLAGS.data_service)
    return Crew(strategy, cluster, tuple(FLAGS.data_service))


def _prepare(recipe, config, kept, crew, saved=False):
    import keras

    from tfcnns.training import compiling, trainer
    from tfcnns.training.strategies import make_cpus

    make_cpus(config.get("devices") or ())  # of a recipe that puts towers on devices
    kept["xla"] = compiling.choose_way(kept["xla"], crew.strategy)
    trainer.set_seeds(config.get("seed", 0), kept["deterministic"])
    keras.config.set_dtype_policy(kept["precision"])
    crew.passes, crew.gradient_dtype = kept["accumulate"], kept["gradient_dtype"]

    def prepare(config):
        return trainer.prepare(recipe, config, saved, crew, kept["xla"])

    own = recipe.config()
    parts = settings.blame(prepare, config, own)
    if config.get("monitor") != own.get("monitor"):
        trainer.check_monitor(parts)
    return parts


def _help_train(parts, checkpoint):
    """Trains as a worker that isn't the chief and writes nothing."""
    from tfcnns.training import trainer
    from tfcnns.training.checkpointing import Stopped

    try:
        trainer.train(None, parts, checkpoint=checkpoint, verbose=0, **_how_often())
    except Stopped as stopped:
        return 128 + stopped.number


def _how_often():
    return {"every_steps": FLAGS.checkpoint_steps, "every_minutes": FLAGS.checkpoint_minutes}


def _show_placement(parts):
    from tfcnns.training import placement_report

    if parts.crew.strategy is not None:
        raise UserError(
            "--show_placement: under a strategy every replica holds the whole net; leave it out"
        )
    places = placement_report.placement(parts.model, parts.stream(0, 0).element_spec)
    print(placement_report.table(places))
    return places


def _draw_placement(places, folder):
    from tfcnns.plots.placement import plot_placement
    from tfcnns.plots.report import save_figures
    from tfcnns.training.placement_report import FREE

    for path in save_figures({"placement": plot_placement(places, FREE)}, folder):
        print(f"written to {path}")


def _train(run, parts, checkpoint):
    from tfcnns.training import trainer
    from tfcnns.training.checkpointing import Stopped

    print(
        f"{run.name}: {_parameters(parts.model)}, "
        f"{parts.config['epochs']} epochs of {parts.steps_per_epoch} steps, XLA {parts.xla}; "
        f"writing to {run.path}" + (f", going on from {checkpoint.name}" if checkpoint else "")
    )
    run.update_config(parts.config)
    try:
        rows = trainer.train(
            run,
            parts,
            checkpoint=checkpoint,
            **_how_often(),
            verbose=1 if sys.stdout.isatty() else 2,
        )
    except Stopped as stopped:
        print(f"\n{stopped}; go on with:\n  {_again(run.path)}")
        return 128 + stopped.number
    except KeyboardInterrupt:
        print(f"\nstopped at once; go on from the last saved state with:\n  {_again(run.path)}")
        raise
    seconds = sum(row["seconds"] for row in rows)
    print(f"trained {len(rows)} epochs in {seconds:.0f} s: {run.path}/model.keras")
    print(f"next: python -m tfcnns.evaluate --run={shlex.quote(str(run.path))}")


def _parameters(model):
    """How many numbers are trained, and how many are not: whitening, layers that are frozen."""
    counts = [
        sum(math.prod(weight.shape) for weight in weights)
        for weights in (model.trainable_weights, model.non_trainable_weights)
    ]
    trained, fixed = (f"{count:,}" for count in counts)
    return f"{trained} parameters" + (f" and {fixed} that stay as they are" if counts[1] else "")


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
    return f"python -m tfcnns.train --out={shlex.quote(str(path))} --resume"


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
