"""python -m tfcnns.predict: what a run's model says about image files."""

import json

from absl import flags

from tfcnns import cli, runs
from tfcnns.errors import UserError

USAGE = """\
Classifies image files (JPEG, PNG, GIF, BMP; any size, grey, colour or with alpha).

  python -m tfcnns.predict --run=runs/digits photo.png scan.jpg
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run", **_own)
flags.DEFINE_integer("top", 3, "classes to show for each image", lower_bound=1, **_own)
flags.DEFINE_boolean("json", False, "print JSON for machines, nothing else", **_own)
flags.DEFINE_enum(
    "fit",
    "crop",
    ["crop", "stretch", "pad"],
    "how an image gets the model's shape: its centre, squeezed, or whole with a border",
    **_own,
)
flags.DEFINE_integer(
    "background",
    255,
    "what lies behind transparent pixels and borders, 0 black to 255 white",
    lower_bound=0,
    upper_bound=255,
    **_own,
)
flags.DEFINE_boolean("invert", False, "swap dark and bright: dark ink on white paper", **_own)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)

_BATCH = 32


def main(files):
    if not FLAGS.run:
        raise UserError("--run is missing: the directory of a run")
    if not files:
        raise UserError("no image files were given; see --help")
    run_ = runs.open_run(FLAGS.run)
    cli.start_tensorflow(FLAGS.verbosity)
    model = run_.load_model(FLAGS.weights)
    names = run_.config.get("class_names")
    results = []
    for start in range(0, len(files), _BATCH):
        some = files[start : start + _BATCH]
        scores = model.predict_on_batch(_images(some, model, run_.config))
        scores = scores.reshape(len(some), -1, scores.shape[-1]).mean(1)  # over any positions
        results += [guess(f, row, names, FLAGS.top) for f, row in zip(some, scores, strict=True)]
    print(json.dumps(results, indent=2) if FLAGS.json else table(results))


def _images(files, model, config):
    import numpy as np

    from tfcnns.pipelines import images

    _, height, width, channels = model.input_shape
    height, width = height or config["size"], width or config["size"]
    options = {"fit": FLAGS.fit, "background": FLAGS.background}
    # What the recipe's own test does to an image, unless all of it is asked for.
    short_side = config.get("short_side") if FLAGS.fit == "crop" else None
    batch = [
        images.read_centre(file, height, width, channels, short_side, **options) for file in files
    ]
    batch = np.stack(batch)
    return 255 - batch if FLAGS.invert else batch


def guess(file, scores, names, top):
    """The `top` classes of one image, best first, as a JSON-able dict."""
    order = scores.argsort()[::-1][:top]
    return {
        "file": str(file),
        "classes": [
            {"class": _name(c, names), "probability": round(float(scores[c]), 6)} for c in order
        ],
    }


def _name(number, names):
    return names[number] if names and number < len(names) else str(number)


def table(results):
    """The guesses as lines: file, then class and probability, best first."""
    width = max(len(result["file"]) for result in results)
    lines = []
    for result in results:
        guesses = "  ".join(
            f"{g['class']} {100 * g['probability']:5.1f} %" for g in result["classes"]
        )
        lines.append(f"{result['file']:<{width}}  {guesses}")
    return "\n".join(lines)


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
