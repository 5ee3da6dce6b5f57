"""python -m tfcnns.evaluate: errors of a finished run on data it has not seen."""

import json

from absl import flags

from tfcnns import answers, cli, runs
from tfcnns.errors import UserError
from tfcnns.files import check_can_write, write_whole

USAGE = """\
Evaluates a run's saved model and writes evaluation.json into the run.

  python -m tfcnns.evaluate --run=runs/digits

The run of a box regressor gets its localisation error, that of a detector its mean average
precision, with a table of the classes; detections.json and, in plots, the curves of precision
against recall lie beside it.
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run", **_own)
flags.DEFINE_enum("split", "test", ["test", "validation"], "which data", **_own)
cli.define_data_flags(FLAGS)
flags.DEFINE_multi_string(
    "set", [], "name=value of the run's config, for this evaluation; repeatable", **_own
)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)


def main(rest):
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help")
    if not FLAGS.run:
        raise UserError("--run is missing: the directory of a run")
    run_ = runs.open_run(FLAGS.run)
    check_can_write(run_.path, "--run")
    cli.start_tensorflow(FLAGS.verbosity)
    from tfcnns.training import evaluation, settings

    model = run_.load_model(FLAGS.weights)
    changes = settings.parse_pairs(FLAGS.set)
    config = cli.with_data_flags(settings.with_values(run_.config, changes), FLAGS)
    source = run_.recipe.boxes(config, FLAGS.split) if hasattr(run_.recipe, "boxes") else None
    if source is not None:
        return _boxes(run_, config, model, source)
    dataset = run_.recipe.data(config, FLAGS.split, 0, 1)
    if dataset is None:
        raise UserError(f"recipe {run_.name} has no {FLAGS.split} data")
    result = evaluation.measure(*scores(run_.recipe, config, FLAGS.split, model, dataset))
    names = answers.class_names(run_, len(result["confusion"]))
    print(summary({**result, "split": FLAGS.split}, names))
    _write(run_, result)


def scores(recipe, config, split, model, dataset):
    """Labels and class scores of a split as `training.evaluation.predict`, or by the vote.

    A recipe whose `vote(config)` isn't None has its test images whole; see `vote_all`.
    """
    vote = recipe.vote(config) if hasattr(recipe, "vote") else None
    if split != "test" or vote is None:
        from tfcnns.training.evaluation import predict

        return predict(model, dataset)
    from tfcnns.detection.evaluation import vote_all

    show = cli.progress_bar(int(dataset.cardinality()), "images")
    return vote_all(model, dataset, vote, show)


def _boxes(run_, config, model, source):
    """Evaluates a model that finds boxes; `summary` has the classes' table."""
    from tfcnns.detection import evaluation
    from tfcnns.detection.coco_format import write_detections
    from tfcnns.plots.precision_recall import plot_precision_recall
    from tfcnns.plots.report import save_figures

    arguments = run_.recipe.detector(config)
    show = cli.progress_bar(len(source), "images")
    truths, detections = evaluation.detect_all(model, source, arguments, show)
    names = answers.detector_names(run_, model)
    file = run_.path / "detections.json"
    write_detections(file, detections, category_ids=config.get("category_ids"))
    print(f"written to {file}")
    if arguments["background"]:
        result, curves = evaluation.measure_detection(truths, detections, source.classes)
        names = names[: source.classes]
        figure = plot_precision_recall(curves["recall"], curves["precision"], names)
        for path in save_figures({"precision_and_recall": figure}, run_.path / "plots"):
            print(f"written to {path}")
    else:
        result = evaluation.measure_localization(truths, detections)
    print(box_summary({**result, "split": FLAGS.split}, names))
    _write(run_, result)


def _write(run_, result):
    file = run_.path / "evaluation.json"
    how = {"split": FLAGS.split, "weights": FLAGS.weights, "set": FLAGS.set}
    result = {**result, **how, "epochs": len(run_.history())}
    write_whole(file, json.dumps(result, allow_nan=False).encode())
    print(f"written to {file}")


def box_summary(result, class_names):
    """The figures of boxes in words, and a line for each class."""
    lines = [f"{result['split']}, {result['images']} images"]
    if "AP50" in result:
        columns = ("truths", "detections", "AP50", "AP")
        lines += [
            f"mean average precision at IoU .5: {_points(result['AP50'])} % "
            f"(PASCAL's {_points(result['mAP_area'])} %)",
            f"COCO's mean over IoU .5 to .95: {_points(result['AP'])} %",
        ]
    else:
        columns = ("images", "error")
        lines += [
            f"localisation error at IoU .5: {_points(result['error'])} % in five guesses, "
            f"{_points(result['top1_error'])} % in one",
            f"of the classes alone: {_points(result['class_error'])} %",
        ]
    rows = [("class", *columns)]
    for row in result["per_class"]:
        values = [row[name] for name in columns]
        cells = [str(v) if isinstance(v, int) else _points(v) for v in values]
        rows.append((str(class_names[row["class"]]), *cells))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for name, *cells in rows:
        cells = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join(["", name.ljust(widths[0]), *cells]))
    return "\n".join(lines)


def _points(value):
    return "-" if value is None else f"{100 * value:.1f}"


def summary(result, class_names):
    """The errors in words, the classes with the most of them last."""
    from tfcnns.training.evaluation import warnings

    loss = "NaN" if result["loss"] is None else f"{result['loss']:.4f}"
    lines = [
        f"{result['split']} error {100 * result['error']:.2f} % "
        f"({result['errors']} of {result['examples']}), loss {loss}"
    ]
    if "top5_error" in result:
        lines.append(f"top-5 error {100 * result['top5_error']:.2f} %")
    worst = [(e, c) for c, e in enumerate(result["per_class_error"]) if e]
    for error, c in sorted(worst, key=lambda pair: (-pair[0], pair[1]))[:5]:
        lines.append(f"  class {class_names[c]}: {100 * error:.1f} % wrong")
    lines += warnings(result)
    return "\n".join(lines)


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
