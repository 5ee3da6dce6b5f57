"""Peak memory of what reads images, for each of their pixels, in processes of their own.

    make bench-memory

Each entry reads one image of a few pixels, which gives the peak of the model and of TensorFlow
itself, and then a large one; what is printed is the difference over the large one's pixels, its
file included, which is in memory once or twice; of `detect` the drawing too, some 350 MB for all
large images. The models are small and untrained. Linux only.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

KINDS = {  # ending and options
    "png": {},
    "rgba.png": {},
    "jpg": {"quality": 90},
    "lying.jpg": {"quality": 90},
    "progressive.jpg": {"quality": 90, "progressive": True},
    "tif": {},
    "bmp": {},
    "webp": {"quality": 80},
}
ENTRIES = ("predict", "features", "detect", "serve_image_bytes", "four to serve_image_bytes")
PNG_ALONE = ENTRIES[1:]  # these read with the functions of the first


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8000, help="pixels (default: 8000)")
    parser.add_argument("--all", action="store_true", help="every kind of file at every entry")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_models(folder)
        print(f"{args.side} x {args.side} pixels; peak memory of the process in MB")
        print(f"{'entry':26}  {'file':15}  {'small':>6}  {'large':>6}  bytes a pixel", flush=True)
        for kind in KINDS:
            small = make_image(folder, 64, kind)
            large = make_image(folder, args.side, kind)
            for entry in ENTRIES:
                if entry in PNG_ALONE and kind != "png" and not args.all:
                    continue
                if "serve" in entry and kind.rpartition(".")[2] not in ("png", "jpg"):
                    continue
                least, most = (peak(entry, folder, file) for file in (small, large))
                pixels = args.side**2 * (4 if "four" in entry else 1)
                each = (most - least) / pixels
                print(f"{entry:26}  {kind:15}  {least / 1e6:6.0f}  {most / 1e6:6.0f}  {each:13.1f}",
                      flush=True)  # fmt: skip
            large.unlink()


def make_models(folder):
    """Runs of a small classifier of grey images and of a detector of colour, and an export."""
    job = [sys.executable, "-c", _MODELS, str(folder)]
    done = subprocess.run(job, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the models couldn't be made:\n{done.stdout}{done.stderr}")


def make_image(folder, side, kind):
    """A smooth picture with some noise, as a photograph has them; its path."""
    path = folder / f"{side}.{kind}"
    random = np.random.RandomState(0)
    tile = random.randint(0, 256, (9, 9, 4)).astype(np.uint8)
    tile = np.asarray(Image.fromarray(tile).resize((min(side, 500),) * 2))
    tile = tile ^ random.randint(0, 4, tile.shape).astype(np.uint8)
    repeats = -(-side // len(tile))
    pixels = np.tile(tile, (repeats, repeats, 1))[:side, :side]
    image = Image.fromarray(pixels if kind.startswith("rgba") else pixels[..., :3])
    options = dict(KINDS[kind])
    if kind.startswith("lying"):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    image.save(path, **options)
    return path


def peak(entry, folder, file):
    """Bytes that a process had in memory at most while it read the image."""
    job = [sys.executable, "-c", _READ, entry, str(folder), str(file)]
    done = subprocess.run(job, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{entry} of {file.name} failed:\n{done.stdout}{done.stderr}")
    return int(done.stdout.split()[-1])


_MODELS = """
import pathlib, sys
from tfcnns import cli
cli.start_tensorflow(0)
from tfcnns import recipes, runs
from tfcnns.export.exporting import export_run
folder = pathlib.Path(sys.argv[1])
for name, values in (("nin_digits", {}), ("overfeat_digits", {"stage": "detector", "width": 0.3})):
    file = recipes.find(name)
    config = {**runs.load_recipe(file).config(), **values}
    run = runs.create_run(folder / name, file, config)
    run.recipe.model(run.config).save(run.path / "model.keras")
run = runs.open_run(folder / "nin_digits")
export_run(run, folder / "export", verify=False, say=lambda _: None)
"""

_READ = """
import sys
entry, folder, file = sys.argv[1:]
if entry in ("predict", "features", "detect"):
    import importlib
    flags = {
        "predict": [f"--run={folder}/nin_digits"],
        "features": [f"--run={folder}/nin_digits", "--layer=gap", f"--out={folder}/f.npz"],
        "detect": [f"--run={folder}/overfeat_digits", f"--out={folder}/found", "--overwrite"],
    }[entry]
    try:
        importlib.import_module("tfcnns." + entry).run([entry, *flags, file])
    except SystemExit as left:
        if left.code:
            raise
else:
    import tensorflow as tf
    serve = tf.saved_model.load(f"{folder}/export/1").signatures["serve_image_bytes"]
    data = open(file, "rb").read()
    serve(image_bytes=tf.constant([data] * (4 if entry.startswith("four") else 1)))
# Not getrusage: that begins with the peak of the process that has started this one.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024)
"""


if __name__ == "__main__":
    main()
