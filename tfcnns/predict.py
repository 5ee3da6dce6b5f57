"""python -m tfcnns.predict: what a run's model says about image files."""

import json
import textwrap

from absl import flags

from tfcnns import answers, cli, runs
from tfcnns.errors import UserError
from tfcnns.mistakes import tried

USAGE = """\
Classifies image files (JPEG, PNG, GIF, BMP, WebP, TIFF; any size, grey, colour or with alpha).

  python -m tfcnns.predict --run=runs/digits photo.png scan.jpg

Answers are printed as they come. Files that can't be read are named at the end; the exit code is
1 then.
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
    from tfcnns.training.evaluation import check_probabilities

    model = run_.load_model(FLAGS.weights)
    show, failed = _Shown(files, FLAGS.json), cli.Failed(len(files))
    for start in range(0, len(files), _BATCH):
        some = files[start : start + _BATCH]
        seen = []
        for file, image in zip(some, _images(some, model, run_), strict=True):
            if isinstance(image, UserError):
                failed.add(file, image)
            else:
                seen.append((file, image))
        if seen:
            scores = answers.class_scores(run_, model, [image for _, image in seen])
            check_probabilities(scores)
            names = answers.class_names(run_, scores.shape[1])
            for (file, _), row in zip(seen, scores, strict=True):
                show.one(guess(file, row, names, FLAGS.top))
    show.end()
    return failed.end()


def _images(files, model, run_):
    """What the model sees of each file: the recipe's own view, unless flags ask for another.

    In the place of a file that can't be read stands a UserError.
    """
    from tfcnns.pipelines import images

    view, channels, config = answers.view_of(run_), model.input_shape[-1], run_.config
    if view and FLAGS.fit == "crop" and FLAGS.background == FLAGS["background"].default:
        contents = {file: tried(file, images.read_bytes, file) for file in files}
        there = [file for file in files if not isinstance(contents[file], UserError)]
        views = answers.view_or_error(view, [contents[file] for file in there], there)
        found = {**contents, **dict(zip(there, views, strict=True))}
        seen = [found[file] for file in files]
    elif view and FLAGS.fit == "crop":

        def read(file):
            data = images.read_bytes(file)
            return view(images.decode(data, file, channels, FLAGS.background)).numpy()

        seen = [tried(file, read, file) for file in files]
    else:
        height, width = (side or config["size"] for side in model.input_shape[1:3])
        short_side = config.get("short_side") if FLAGS.fit == "crop" else None
        options = {"fit": FLAGS.fit, "background": FLAGS.background}

        def read(file):
            return images.read_centre(file, height, width, channels, short_side, **options)

        seen = [tried(file, read, file) for file in files]
    if FLAGS.invert:
        seen = [one if isinstance(one, UserError) else 255 - one for one in seen]
    return seen


def guess(file, scores, names, top):
    """The `top` classes of one image, best first, as a dict for JSON; none where there is a NaN."""
    from tfcnns.training.evaluation import is_nan
    from tfcnns.training.top_k import ranking

    order = [] if is_nan(scores[None])[0] else ranking(scores)[:top]
    return {
        "file": str(file),
        "classes": [{"class": names[c], "probability": round(float(scores[c]), 6)} for c in order],
    }


class _Shown:
    """Prints guesses as they come: a JSON list, or lines of file, class and probability."""

    def __init__(self, files, as_json):
        self._width = max(map(len, files))
        self._json = as_json
        self._between = "["
        self._answers = []

    def one(self, result):
        if self._json:
            text = textwrap.indent(json.dumps(result, indent=2, allow_nan=False), "  ")
            print(f"{self._between}\n{text}", end="", flush=True)
            self._between = ","
            return
        guesses = "  ".join(
            f"{g['class']} {100 * g['probability']:5.1f} %" for g in result["classes"]
        )
        guesses = guesses or "no answer: the model's outputs are NaN, it has diverged"
        print(f"{result['file']:<{self._width}}  {guesses}", flush=True)
        self._answers.append(result["classes"])

    def end(self):
        if self._json:
            print("[]" if self._between == "[" else "\n]")
        elif len(self._answers) > 1 and all(a == self._answers[0] != [] for a in self._answers):
            print("the model says the same of every image: it is dead, or has learned nothing")


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
