"""python -m tfcnns.detect: draws boxes around what a run's model finds in image files."""

import json
import pathlib
import sys

from absl import flags

from tfcnns import answers, cli, runs
from tfcnns.errors import UserError
from tfcnns.files import check_can_write, check_no_input, sweep, write_whole
from tfcnns.pipelines.image_files import ENDINGS, images_in, printable, told

USAGE = """\
Finds objects in image files (JPEG, PNG, GIF, BMP, WebP, TIFF), or in all those of a folder; what
else lies there is counted by its kind.

  python -m tfcnns.detect --run=runs/detector --out=found photo.png folder

Writes a picture with boxes for each, detections.json in COCO's result format, and images.json,
which says which file is which image_id; the two as answers come, whole whenever they are twice as
many. Images that can't be read are left out and named at the end; the exit code is 1 then.
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of the run of a detector or regressor", **_own)
flags.DEFINE_string("out", None, "directory to write to", **_own)
flags.DEFINE_boolean("overwrite", False, "replace an older detections.json in --out", **_own)
flags.DEFINE_float("least_score", None, "draw only boxes with this score; the recipe's own", **_own)
flags.DEFINE_enum(
    "join",
    "merge",
    ["merge", "suppress", "none"],
    "boxes of one object become one as in the paper, or the best one stays, or all stay",
    **_own,
)
flags.DEFINE_enum("weights", "final", ["final", "best", "last"], "which weights", **_own)

LISTS = ("detections.json", "images.json")  # beside the pictures


def main(paths):
    if not FLAGS.run:
        raise UserError("--run is missing: the directory of a run")
    if not FLAGS.out:
        raise UserError("--out is missing: the directory to write to")
    out = pathlib.Path(FLAGS.out)
    files = image_files(paths, out)
    names = picture_names(files)
    check_out(out, names, files, FLAGS.overwrite)
    run_ = runs.open_run(FLAGS.run)
    cli.start_tensorflow(FLAGS.verbosity)
    arguments, least = settings(run_)
    model = run_.load_model(FLAGS.weights)
    classes = answers.detector_names(run_, model)
    out.mkdir(parents=True, exist_ok=True)
    found, written, failed = [], 0, cli.Failed(len(files))
    show = cli.progress_bar(len(files), "images")
    for i, file in enumerate(files):
        try:
            found.append((i, _one(model, classes, file, out / names[i], arguments, least)))
        except UserError as error:
            failed.add(file, error)
        if len(found) > written and len(found) >= 2 * written:
            _write(out, files, names, found, run_.config.get("category_ids"))
            written = len(found)
        show(i + 1)
    _write(out, files, names, found, run_.config.get("category_ids"))
    print(f"{sum(len(one['boxes']) for _, one in found)} boxes in {len(found)} images: {out}")
    return failed.end()


def check_out(out, names, files, overwrite=False):
    """Raises UserError if not all can be written to `out`, or would replace what isn't ours.

    Args:
        out: the directory, which needn't be there.
        names: of the pictures.
        files: the images that are read.
        overwrite: whether what an earlier `detect` has written there may be replaced.
    """
    from tfcnns.plots.report import is_ours

    check_can_write(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file, expected a directory")
    if (out / "run.json").exists():
        raise UserError(f"--out={out} is the directory of a run: give another")
    pictures, lists = [out / name for name in names], [out / name for name in LISTS]
    for path in pictures:
        check_can_write(path)
    check_no_input([*pictures, *lists], files)
    there = [path for path in (*lists, *pictures) if path.exists()]
    if there and not overwrite:
        raise UserError(f"{out} holds {there[0].name} already: add --overwrite to replace it")
    for path in there:
        if not (_is_list_of_ours(path) if path in lists else is_ours(path)):
            raise UserError(f"{path} is none of detect's files: give another --out")
    sweep(out, of=[*names, *LISTS])


def _is_list_of_ours(path):
    """Whether a file is a JSON list of detections, or of images with their pictures."""
    try:
        rows = json.loads(path.read_text())
    except ValueError:
        return False
    keys = {"detections.json": "bbox", "images.json": "picture"}
    return isinstance(rows, list) and all(
        isinstance(row, dict) and keys[path.name] in row for row in rows
    )


def settings(run_):
    """`detect`'s arguments for a run, and the score from which its boxes are drawn."""
    recipe, config = run_.recipe, run_.config
    arguments = recipe.detector(config) if hasattr(recipe, "detector") else None
    if arguments is None:
        raise UserError(f"{run_.path} has no boxes: expected the run of a detector or a regressor")
    arguments["join"] = FLAGS.join
    if FLAGS.join == "suppress":
        arguments["threshold"] = 0.5
    least = config.get("least_score", 0.0) if FLAGS.least_score is None else FLAGS.least_score
    return arguments, least


def image_files(paths, out):
    """The files that are named, and the images of the folders that are, in order of names.

    Of `out`, a folder inside one that is named, nothing is read: it holds drawings.
    """
    files = []
    for path in map(pathlib.Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        try:
            inside, left_out = images_in(path, deep=True, but=path != out and out)
        except OSError as error:
            raise UserError(f"can't read folder {error.filename}: {error.strerror}") from error
        if not inside:
            found = f"; it holds {told(left_out)}" if left_out else ""
            raise UserError(f"{path} holds no images ({', '.join(ENDINGS)}){found}")
        if left_out:
            print(f"{printable(path)}: left out {told(left_out)}", file=sys.stderr)
        files += map(pathlib.Path, inside)
    if not files:
        raise UserError("no image files or folders were given; see --help")
    return files


def picture_names(files):
    """A name for each picture, that of its file but for the ending, no two the same."""
    names, taken = [], set()
    for file in files:
        name, number = file.stem, 1
        while name in taken:
            number += 1
            name = f"{file.stem}-{number}"
        taken.add(name)
        names.append(f"{name}.png")
    return names


def _one(model, classes, file, picture, arguments, least):
    """Detections of one file, whose picture is drawn."""
    from tfcnns.detection.detect import detect
    from tfcnns.detection.evaluation import as_detection
    from tfcnns.pipelines import images
    from tfcnns.plots.boxes import plot_detections
    from tfcnns.plots.report import save_picture

    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"can't read image {file}: {error.strerror}") from error
    image = images.decode(data, file, model.input_shape[-1])
    detection = as_detection(*detect(model, image, **arguments))
    save_picture(plot_detections(image, detection, classes, least), picture)
    return detection


def _write(out, files, names, found, category_ids):
    from tfcnns.detection.coco_format import write_detections

    rows = [{"id": i, "file_name": str(files[i]), "picture": names[i]} for i, _ in found]
    write_whole(out / "images.json", json.dumps(rows, indent=2).encode())
    write_detections(
        out / "detections.json", [one for _, one in found], [i for i, _ in found], category_ids
    )


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
