"""python -m tfcnns.features: what a layer of a trained net says of image files."""

import pathlib
import zipfile

import numpy as np
from absl import flags

from tfcnns import cli, runs
from tfcnns.errors import UserError
from tfcnns.files import check_can_write, check_no_input, sweep, whole
from tfcnns.mistakes import tried
from tfcnns.nearest import nearest

USAGE = """\
Writes the outputs of one layer for image files (JPEG, PNG, GIF, BMP, WebP, TIFF) to an .npz file
with `features` (n, ...) float32 and `files` (n,): what a classifier of your own can start from.

  python -m tfcnns.features --run=runs/digits --layer=gap photo.png --out=features.npz
  python -m tfcnns.features --weights=net_weight_1 --layer=fc8 photos/*.jpg --out=features.npz
  python -m tfcnns.features --weights=bvlc_alexnet.caffemodel --model=alexnet --layer=fc7 ...

--weights takes a .keras file, the OverFeat authors' net_weight_0 or net_weight_1, or a
.caffemodel of the net named by --model. The file is written as answers come, the whole of it
whenever they are twice as many. Images that can't be read are left out and named at the end; the
exit code is 1 then.
"""

FLAGS = cli.new_flags()
_own = {"flag_values": FLAGS}
flags.DEFINE_string("run", None, "directory of a run; this or --weights", **_own)
flags.DEFINE_string("weights", None, "file of weights; this or --run", **_own)
flags.DEFINE_enum(
    "model",
    None,
    ["alexnet", "caffenet", "nin_cifar10", "nin_imagenet", "overfeat_fast", "overfeat_accurate"],
    "the net that --weights is of, where its name doesn't tell",
    **_own,
)
flags.DEFINE_string("layer", None, "name of the layer, such as fc7", **_own)
flags.DEFINE_string("out", None, "file to write, ending in .npz", **_own)
flags.DEFINE_integer(
    "short_side",
    None,
    "scale an image to this shorter side in pixels, then cut its centre out; 256 for "
    "ImageNet's nets, else just the model's own size",
    lower_bound=1,
    **_own,
)
flags.DEFINE_integer("batch_size", 32, "images at a time", lower_bound=1, **_own)

_IMAGENET = 256  # shorter side of the papers' training images


def main(files):
    for name in ("layer", "out"):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing; see --help")
    if bool(FLAGS.run) == bool(FLAGS.weights):
        raise UserError("give either --run or --weights")
    if not files:
        raise UserError("no image files were given; see --help")
    if not FLAGS.out.endswith(".npz"):
        raise UserError(f"--out={FLAGS.out}: expected a name ending in .npz")
    check_out(FLAGS.out, [*files, *filter(None, [FLAGS.weights])])
    run_ = runs.open_run(FLAGS.run) if FLAGS.run else None
    cli.start_tensorflow(FLAGS.verbosity)
    if run_:
        model = run_.load_model()
        size, short_side = run_.config.get("size"), run_.config.get("short_side")
    else:
        model, size, short_side = load_weights(FLAGS.weights, FLAGS.model)
    short_side = FLAGS.short_side or short_side
    rows, named, written, failed = [], [], 0, cli.Failed(len(files))
    batches = _batches(model, FLAGS.layer, files, size, short_side, FLAGS.batch_size)
    for good, features, errors in batches:
        for file, error in errors:
            failed.add(file, error)
        if good:
            named += good
            rows.append(features)
        if len(named) > written and len(named) >= 2 * written:
            write(FLAGS.out, np.concatenate(rows), named)
            written = len(named)
    if len(named) > written:
        write(FLAGS.out, np.concatenate(rows), named)
    if named:
        shape = (len(named), *rows[0].shape[1:])
        print(f"{FLAGS.out}: {FLAGS.layer} of {len(named)} images, {shape} float32")
    return failed.end()


def check_out(path, inputs):
    """Raises UserError if features can't be written to `path`, or something else is there."""
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise UserError(f"--out={path}: there is no directory {path.parent}")
    if path.is_dir():
        raise UserError(f"--out={path} is a directory, expected a file")
    check_can_write(path)
    check_no_input([path], inputs)
    if path.exists() and not _is_ours(path):
        raise UserError(f"--out={path} holds something other than features: give another name")
    sweep(path.parent, of=[path.name])


def _is_ours(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist()) == {"features.npy", "files.npy"}
    except zipfile.BadZipFile:
        return False


def load_weights(path, name=None):
    """(model, window, short side) for a file of weights; the last two None where unknown.

    Args:
        path: .keras file, released OverFeat file, or .caffemodel.
        name: a value of --model, or None to tell by the file's name.
    """
    from tfcnns import models

    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"no file of weights at {path}")
    if path.suffix == ".keras":
        return runs.load_keras_file(path), None, None
    released = {"net_weight_0": "overfeat_fast", "net_weight_1": "overfeat_accurate"}
    name = name or released.get(path.name)
    if name is None:
        raise UserError(f"--weights={path} doesn't tell which net it is of: give --model")
    if name.startswith("overfeat"):
        variant = name.removeprefix("overfeat_")
        model = models.overfeat(
            variant, activation="threshold", preprocessing=models.overfeat_preprocessing()
        )
        models.load_overfeat_weights(model, path)
        return model, {"fast": 231, "accurate": 221}[variant], _IMAGENET
    if name == "nin_cifar10":
        model = models.nin_cifar10(pool2="average")
        models.load_caffe_weights(model, path, channel_order="rgb")
        return model, None, None
    centred = {"preprocessing": models.caffe_preprocessing()}
    if name == "nin_imagenet":
        model = models.nin_imagenet(**centred)
    else:
        order = "caffenet" if name == "caffenet" else "paper"
        model = models.alexnet(lrn={"alpha": 2e-5, "bias": 1.0}, order=order, **centred)
    models.load_caffe_weights(model, path)
    return model, None, _IMAGENET


def compute(model, layer, files, size=None, short_side=None, batch_size=32):
    """The outputs of a layer for image files, (n, ...) float32.

    Args:
        model: a functional keras.Model of images.
        layer: name of one of its layers.
        files: paths of n image files.
        size: side in pixels that images get if the model takes any.
        short_side: shorter side that an image is scaled to before its centre is cut out;
            None scales it to just cover the model's input.
        batch_size: images at a time.
    """
    result = []
    for _, features, errors in _batches(model, layer, files, size, short_side, batch_size):
        if errors:
            raise errors[0][1]
        result.append(features)
    return np.concatenate(result)


def _batches(model, layer, files, size, short_side, batch_size):
    """Yields (files, their features, [(file, UserError), ...] of those that can't be read)."""
    import keras

    from tfcnns.pipelines import images

    names = [own.name for own in model.layers]
    if layer not in names:
        raise UserError(f"model {model.name} has no layer {layer!r}{nearest(layer, names)}")
    if len(model.inputs) != 1 or len(model.input_shape) != 4:
        shapes = ", ".join(str(one.shape) for one in model.inputs)
        raise UserError(
            f"model {model.name} must have one input, images (N, height, width, channels). "
            f"Received: {shapes}"
        )
    tap = keras.Model(model.inputs, model.get_layer(layer).output)
    _, height, width, channels = model.input_shape
    height, width = height or size, width or size
    if height is None:
        raise UserError(f"model {model.name} takes images of any size: use a run or --model")

    def read(file):
        return images.read_centre(file, height, width, channels, short_side)

    for start in range(0, len(files), batch_size):
        seen = [(file, tried(file, read, file)) for file in files[start : start + batch_size]]
        bad = [(file, image) for file, image in seen if isinstance(image, UserError)]
        good = [(file, image) for file, image in seen if not isinstance(image, UserError)]
        features = None
        if good:
            batch = np.stack([image for _, image in good])
            features = np.asarray(tap.predict_on_batch(batch), "float32")
        yield [file for file, _ in good], features, bad


def write(path, features, files):
    """Writes features and file names to an .npz file, whole or not at all."""
    with whole(path) as temporary:
        np.savez(temporary, features=features, files=np.array([str(file) for file in files]))


run = cli.script(main, FLAGS, USAGE)

if __name__ == "__main__":
    run()
