"""OverFeat on digit scenes over several seeds: localisation error, mAP, and what they rest on.

    make bench-overfeat

Each seed trains the three stages of recipes/overfeat_digits by the scripts that users run, then
the test scenes are looked at: with six scales and with each one alone, and with boxes merged as
in the paper, suppressed, and left as they are.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

STAGES = {"classifier": 8, "regressor": 4, "detector": 16}  # epochs, as in make demo
SUPPRESS_IOU = 0.3  # the best of .3 and .5 on the validation scenes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... (default: 3)")
    parser.add_argument("--split", default="test", help="test (default) or validation")
    parser.add_argument("--scenes", type=int, help="only so many of them")
    parser.add_argument("--keep", help="directory for the runs; those that are there are used")
    args = parser.parse_args()
    rows = {}
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs = pathlib.Path(args.keep or folder) / str(seed)
            seconds = train(runs, seed)
            done = subprocess.run(
                [sys.executable, __file__, "--measure", runs, args.split, str(args.scenes or 0)],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                sys.exit(done.stdout + done.stderr)
        found = {"training, s": seconds, **json.loads(done.stdout.splitlines()[-1])}
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
        print(f"seed {seed}: {found}", flush=True)
    width = max(map(len, rows))
    print(f"{'':{width}}    mean  " + "  ".join(f"seed {s}" for s in range(args.seeds)))
    for name, values in rows.items():
        cells = "  ".join(f"{value:6.1f}" for value in values)
        print(f"{name:{width}}  {statistics.mean(values):6.1f}  {cells}")


def train(runs, seed):
    """Trains the stages that aren't there yet; returns the seconds of all, by their history."""
    before, seconds = None, 0
    for stage, epochs in STAGES.items():
        out = runs / stage
        if not (out / "model.keras").exists():
            command = [sys.executable, "-m", "tfcnns.train", "--recipe=overfeat_digits"]
            command += [f"--out={out}", f"--seed={seed}", "--overwrite", f"--set=stage={stage}"]
            command.append(f"--epochs={epochs}")
            command += [f"--set=from_run={before}"] if before else []
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        history = (out / "history.csv").read_text().splitlines()
        column = history[0].split(",").index("seconds")
        seconds += sum(float(row.split(",")[column]) for row in history[1:])
        before = out
    return seconds


def measure(folder, split, scenes):
    """Figures of one seed's runs in %, as a dict."""
    import tensorflow as tf

    from tfcnns import runs
    from tfcnns.detection import evaluation
    from tfcnns.detection.detect import Candidates, join_boxes, scale_candidates
    from tfcnns.pipelines.box_datasets import open_boxes

    def opened(name):
        source = open_boxes(name, split)
        return source.part(range(scenes)) if scenes else source

    result = {}
    for stage in ("regressor", "detector"):
        run = runs.open_run(folder / stage)
        arguments = run.recipe.detector(run.config)
        model = run.load_model()
        found = evaluation.detect_all(model, opened("digit_scenes/single"), arguments)
        local = evaluation.measure_localization(*found)
        result[f"localisation error, {stage}"] = 100 * local["error"]
        result[f"  in one guess, {stage}"] = 100 * local["top1_error"]
    truths, scales = [], []
    for image, boxes, labels in opened("digit_scenes").dataset().as_numpy_iterator():
        real = labels >= 0
        truths.append({"boxes": boxes[real], "classes": labels[real]})
        before = [arguments[name] for name in ("scales", "k", "background", "window_score")]
        scales.append(list(scale_candidates(model, image, *before)))

    def average_precision(chosen, join, threshold):
        detections = []
        for one in scales:
            parts = zip(*(one[i] for i in chosen), strict=True)
            joined = join_boxes(
                Candidates(*(tf.concat(part, 0) for part in parts)),
                threshold,
                join,
                weighted=arguments.get("weighted", False),
            )
            boxes, scores, classes = (column[:100] for column in joined)
            detections.append(evaluation.as_detection(boxes, classes, scores))
        return evaluation.measure_detection(truths, detections, 10)[0]

    every, threshold = range(len(arguments["scales"])), arguments["threshold"]
    for name, join, limit in (
        ("merged", "merge", threshold),
        ("suppressed", "suppress", SUPPRESS_IOU),
        ("as they are", "none", threshold),
    ):
        found = average_precision(every, join, limit)
        result[f"mAP at .5, six scales, {name}"] = 100 * found["AP50"]
        result[f"  COCO's mAP, {name}"] = 100 * found["AP"]
    for i in every:
        found = average_precision([i], "merge", threshold)
        result[f"mAP at .5, scale {arguments['scales'][i]} alone, merged"] = 100 * found["AP50"]
    return result


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
    else:
        main()
