"""python -m tfcnns.predict: what a run's model says about image files."""

import json

from absl import flags

from tfcnns import answers, cli, runs
from tfcnns.errors import UserError

USAGE = """\
Classifies image files (JPEG, PNG, GIF, BMP; any size, grey, colour or with alpha).

  python -m tfcnns.predict --run=runs/digits photo.png scan.jpg
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run", **_own)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)
flags.DEFINE_integer("top", 3, "classes to show for each image", lower_bound=1, **_own)
flags.DEFINE_boolean("json", False, "print JSON for machines, nothing else", **_own)

_own = cli.themed(FLAGS, "How an image reaches the model")
flags.DEFINE_enum(
    "fit",
    "crop",
    ["crop", "stretch", "pad"],
    "how an image gets the model's shape: as at test, squeezed, or whole with a border",
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

_BATCH = 32


def main(files):
    if not FLAGS.run:
        raise UserError("--run is missing: the directory of a run")
    if not files:
        raise UserError("no image files were given; see --help")
    run_ = runs.open_run(FLAGS.run)
    cli.start_tensorflow(FLAGS.verbosity)
    model = run_.load_model(FLAGS.weights)
    results = []
    for start in range(0, len(files), _BATCH):
        some = files[start : start + _BATCH]
        scores = answers.class_scores(run_, model, _images(some, model, run_))
        names = answers.class_names(run_, scores.shape[1])
        results += [guess(f, row, names, FLAGS.top) for f, row in zip(some, scores, strict=True)]
    print(json.dumps(results, indent=2) if FLAGS.json else table(results))


def _images(files, model, run_):
    """What the model sees of each file: the recipe's own view, unless flags ask for another."""
    from tfcnns.pipelines import images

    view, channels, config = answers.view_of(run_), model.input_shape[-1], run_.config
    if view and FLAGS.fit == "crop" and FLAGS.background == FLAGS["background"].default:
        seen = answers.views_of_files(view, map(images.read_bytes, files), files)
    elif view and FLAGS.fit == "crop":
        decoded = [
            images.decode(images.read_bytes(file), file, channels, FLAGS.background)
            for file in files
        ]
        seen = [view(image).numpy() for image in decoded]
    else:
        height, width = (side or config["size"] for side in model.input_shape[1:3])
        short_side = config.get("short_side") if FLAGS.fit == "crop" else None
        options = {"fit": FLAGS.fit, "background": FLAGS.background}
        seen = [
            images.read_centre(file, height, width, channels, short_side, **options)
            for file in files
        ]
    return [255 - image for image in seen] if FLAGS.invert else seen


def guess(file, scores, names, top):
    """The `top` classes of one image, best first, as a JSON-able dict."""
    order = scores.argsort()[::-1][:top]
    return {
        "file": str(file),
        "classes": [{"class": names[c], "probability": round(float(scores[c]), 6)} for c in order],
    }


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
