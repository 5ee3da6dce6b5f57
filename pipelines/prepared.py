"""What tensorflow-datasets has prepared on this machine, opened for random access."""

import os
import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds

from tfcnns.errors import UserError

from . import imagenet_classes
from .records import open_tfrecords
from .source import Encoded, Source
from .splits import choose, rows

BY_HAND = {"imagenet2012": "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from image-net.org"}


def open_builder(name, data_dir=None, download=False):
    """The TFDS builder of a data set that is prepared in `data_dir`, whatever its version.

    Args:
        name: a data set of TFDS.
        data_dir: the folder that holds prepared data sets; None for TFDS' own choice,
            $TFDS_DATA_DIR or ~/tensorflow_datasets.
        download: whether to download and prepare it if it isn't there.

    Raises: UserError, saying what to do, if it isn't there or can't be downloaded.
    """
    data_dir = data_dir and os.path.expanduser(data_dir)
    builder = tfds.builder(name, data_dir=data_dir, version="*.*.*")
    if builder.is_prepared():
        return builder
    # builder.data_dir is FOLDER/name[/config]/version.
    levels = name.count("/") + 1
    folder = data_dir or pathlib.Path(builder.data_dir).parents[levels]
    command = f"`tfds build {name} --data_dir={folder}`"
    if name in BY_HAND:
        command = f"put {BY_HAND[name]} into {folder}/downloads/manual, then {command}"
    if not download:
        raise UserError(f"{name} isn't prepared in {folder}: {command}, or add --download")
    builder = tfds.builder(name, data_dir=data_dir)
    try:
        builder.download_and_prepare()
    except (OSError, AssertionError, tfds.download.DownloadError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{name} couldn't be prepared ({reason}); by hand: {command}") from error
    return builder


def builder_in(folder):
    """The TFDS builder of the data set whose files are in `folder`."""
    folder = os.path.expanduser(folder)
    if not os.path.exists(os.path.join(folder, "features.json")):
        raise UserError(
            f"{folder} isn't a data set that tensorflow-datasets can read: it has no "
            "features.json; for your own shards tfds.folder_dataset.write_metadata makes one"
        )
    return tfds.builder_from_directory(folder)


def open_images(builder, split, every=10, available=None):
    """A prepared data set as a source of `Encoded` images.

    Args:
        builder: of a data set with one image and one class label.
        split: one of `splits.SPLITS`.
        every: of the training images, each `every`th is held out if the data set has not
            both validation and test images.
        available: those of its parts that are used; None for all.
    """
    available = available or list(builder.info.splits)
    where = str(builder.data_path)
    names, held = choose(split, available, where)
    image, label = _features(builder)
    read, examples = open_records(builder, names)
    whole = {image: tfds.decode.SkipDecoding()}

    def example(index):
        record, name = read(index)
        features = builder.info.features.deserialize_example(record, decoders=whole)
        return Encoded(features[image], name), features[label]

    class_names = imagenet_classes.readable(builder.info.features[label].names)
    source = Source(example, examples, class_names)
    return source if held is None else source.part(rows(held, examples, every, where))


def open_records(builder, names):
    """read(index) -> (serialised example, its name), and how many there are, of some parts."""
    parts = [builder.info.splits[name] for name in names]
    form = builder.info.file_format.value
    if form == "array_record":
        return _array_records(builder, parts)
    if form != "tfrecord":
        raise UserError(
            f"{builder.data_path} holds {form} files; tfrecord or array_record expected"
        )
    paths = [os.fspath(path) for part in parts for path in part.filepaths]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise UserError(f"{missing[0]} is missing; {len(missing)} of {len(paths)} files are")
    index = builder.data_path / f"{builder.name}-{'-'.join(names)}.offsets.npz"
    read, counts = open_tfrecords(paths, index)
    expected = [length for part in parts for length in part.shard_lengths]
    for path, found, told in zip(paths, counts, expected, strict=True):
        if found != told:
            raise UserError(f"{path} has {found} records; dataset_info.json says {told}")
    return read, sum(counts)


def _array_records(builder, parts):
    try:
        from array_record.python.array_record_data_source import ArrayRecordDataSource
    except ImportError as error:  # it is only made for Linux
        raise UserError(f"reading {builder.data_path} takes the package array_record") from error
    records = ArrayRecordDataSource([f for part in parts for f in part.file_instructions])
    folder = f"{builder.data_path}, record "

    def get(index):
        try:
            return records[index]
        except Exception as error:  # array_record raises what its C++ names, without the file
            raise UserError(f"{folder}{index} is damaged: {error}") from error

    def read(index):
        record = tf.ensure_shape(tf.numpy_function(get, [index], tf.string), [])
        return record, tf.strings.join([folder, tf.strings.as_string(index)])

    return read, len(records)


def _features(builder):
    """The names of a data set's image and of its label."""
    supervised = builder.info.supervised_keys or ()  # which of several is the one to learn
    found = []
    for kind in (tfds.features.Image, tfds.features.ClassLabel):
        names = [key for key, value in builder.info.features.items() if isinstance(value, kind)]
        names = [name for name in names if name in supervised] or names
        if len(names) != 1:
            raise UserError(
                f"{builder.data_path} has {len(names)} features {kind.__name__}; expected one"
            )
        found += names
    return found
