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
    export = pathlib.Path(export)
    if not (export / "saved_model.pb").exists():
        versions = [path for path in export.iterdir() if path.name.isdecimal()]
        export = max(versions, key=lambda path: int(path.name))
    files = files or list((export / "assets.extra").glob("example.*"))
    signatures = tf.saved_model.load(export).signatures
    image_bytes = tf.constant([pathlib.Path(file).read_bytes() for file in files])
    if "detect" in signatures:
        facts = json.loads((export / "assets.extra" / "description.json").read_text())
        boxes(files, signatures["detect"](image_bytes=image_bytes), facts["least_score"])
    elif "serve_image_bytes" not in signatures:
        sys.exit(f"{export} takes tensors alone: its recipe has no view(config)")
    else:
        classes(files, signatures["serve_image_bytes"](image_bytes=image_bytes))


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
    main(*sys.argv[1:]) if sys.argv[1:] else sys.exit(__doc__)
