"""The report of a run that finds boxes: scenes, what their windows say, and what becomes of it."""

import numpy as np

from tfcnns import answers
from tfcnns.detection import evaluation
from tfcnns.detection.detect import candidates, scale_maps
from tfcnns.plots.boxes import plot_scenes, plot_votes
from tfcnns.plots.precision_recall import plot_precision_recall
from tfcnns.plots.report import save_figures, write_report
from tfcnns.plots.run_facts import run_facts, run_sections

_SHOWN = 6  # test scenes whose boxes are drawn


def write(run, weights="final", links=(), others=()):
    """Draws a run into RUN/plots and RUN/report.html; returns the page's path.

    Args: as for `run_report.write`, which calls this for a detector or a box regressor.
    """
    model = run.load_model(weights)
    arguments = run.recipe.detector(run.config)
    names = answers.detector_names(run, model)
    source = run.recipe.boxes(run.config, "test")
    truths, detections = evaluation.detect_all(model, source, arguments)
    shown = range(min(_SHOWN, len(source)))
    images = evaluation.images_of(source.part(shown))
    before = {k: arguments[k] for k in ("scales", "k", "background", "window_score")}
    raw = [candidates(model, image, **before)._asdict() for image in images]
    raw = [{k: np.array(v) for k, v in one.items()} for one in raw]
    least = run.config.get("least_score", 0.0)
    sections = [
        (
            "Scenes and boxes",
            "Test images: what is in them, the boxes of all windows at all scales, the more opaque "
            "the more certain, and what is left once the closest two have been merged again and "
            "again; the numbers are sums of the windows' class outputs, boxes below "
            f"{least:g} aren't drawn.",
            plot_scenes(images, truths[:_SHOWN], raw, detections[:_SHOWN], names, least),
        )
    ]
    for number, image in enumerate(images[:2], 1):
        maps = list(scale_maps(model, image, arguments["scales"], arguments["background"]))
        sections.append(
            (
                f"Window votes {number}",
                "A dot at the middle of every window, the larger and lighter the more certain its "
                "best class; the class is written where it is most certain. Each scale finds the "
                "objects of its size.",
                plot_votes(
                    image,
                    [np.array(windows) for windows, _, _ in maps],
                    [np.array(scores) for _, _, scores in maps],
                    [f"short side {scale}" for scale in arguments["scales"]],
                    names,
                ),
            )
        )
    facts = {}
    if arguments["background"]:
        result, curves = evaluation.measure_detection(truths, detections, source.classes)
        facts["Mean average precision, IoU .5"] = _percent(result["AP50"])
        facts["COCO's mean, IoU .5 to .95"] = _percent(result["AP"])
        sections.append(
            (
                "Precision and recall",
                "Of the boxes down to some score, the part that is right, against the part of "
                "all objects that they find.",
                plot_precision_recall(
                    curves["recall"], curves["precision"], names[: source.classes]
                ),
            )
        )
    else:
        result = evaluation.measure_localization(truths, detections)
        facts["Localisation error, five guesses"] = _percent(result["error"])
        facts["Localisation error, one guess"] = _percent(result["top1_error"])
    facts["Test images"] = result["images"]
    sections += run_sections(run, model, others)
    files = save_figures(
        {heading.lower().replace(" ", "_"): f for heading, _, f in sections}, run.path / "plots"
    )
    page = run.path / "report.html"
    title = f"Run {run.path.name}: {run.name}, {run.config.get('stage', 'boxes')}"
    write_report(page, title, sections, {**facts, **run_facts(run, model)}, links, files)
    return page


def _percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"
