"""Asks an exported SavedModel about image files; needs TensorFlow alone, nothing of tfcnns.

    python -m tfcnns.export --run=runs/demo --out=exports/demo
    python examples/ask_export.py exports/demo photo.jpg

The first argument is a directory of versions, of which the newest answers, or a version. Without
image files it is asked about the example that lies in the export.
"""

import json
import pathlib
import sys

import tensorflow as tf


def main(export, *files):
    export = newest(pathlib.Path(export))
    files = files or list((export / "assets.extra").glob("example.*"))
    for file in files:
        if not pathlib.Path(file).is_file():
            sys.exit(f"there is no image file {file}")
    signatures = tf.saved_model.load(export).signatures
    image_bytes = tf.constant([pathlib.Path(file).read_bytes() for file in files])
    if "detect" in signatures:
        facts = json.loads((export / "assets.extra" / "description.json").read_text())
        boxes(files, signatures["detect"](image_bytes=image_bytes), facts["least_score"])
    elif "serve_image_bytes" not in signatures:
        sys.exit(f"{export} takes tensors alone: its recipe has no view(config)")
    else:
        classes(files, signatures["serve_image_bytes"](image_bytes=image_bytes))


def newest(export):
    """The version that answers, `export` itself or the newest in it."""
    versions = [path for path in export.glob("*") if path.name.isdecimal()]
    for path in (export, *sorted(versions, key=lambda path: -int(path.name))[:1]):
        if (path / "saved_model.pb").is_file():
            return path
    sys.exit(f"{export} holds no SavedModel, expected an export or a directory of versions")


def classes(files, found):
    for file, name, scores in zip(files, found["class_names"], found["scores"], strict=True):
        print(f"{file}: {name.numpy().decode()}, score {max(scores.numpy()):.3f}")


def boxes(files, found, least_score):
    for i, file in enumerate(files):
        print(f"{file}:")
        for j in range(found["count"][i]):
            name, score = found["class_names"][i, j].numpy().decode(), found["scores"][i, j]
            if score >= least_score:
                edges = ", ".join(f"{edge:.0f}" for edge in found["boxes"][i, j].numpy())
                print(f"  {name}, score {score:.1f}, at x0, y0, x1, y1 = {edges}")


if __name__ == "__main__":
    if not sys.argv[1:] or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except tf.errors.InvalidArgumentError as error:  # of an image; its name stands in the text
        sys.exit(error.message.partition("\n\t [[")[0].splitlines()[-1])
