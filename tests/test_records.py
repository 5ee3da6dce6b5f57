import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfcnns.errors import UserError
from tfcnns.pipelines import jpeg, records
from tfcnns.pipelines.batches import batches
from tfcnns.pipelines.datasets import open_dataset

LENGTHS = [[5, 0, 100_000], [], [7, 300]]  # of the records of three files
RECORDS = [[bytes([n % 256]) * n for n in lengths] for lengths in LENGTHS]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path):
    paths = []
    for number, contents in enumerate(RECORDS):
        paths.append(tmp_path / f"x.tfrecord-{number}")
        with tf.io.TFRecordWriter(str(paths[-1])) as writer:
            for record in contents:
                writer.write(record)
    return paths


@pytest.fixture
def scanned(monkeypatch):
    """The names of the files that were gone through."""
    names = []
    scan = records._scan
    monkeypatch.setattr(
        records, "_scan", lambda path, size: names.append(path.name[-1]) or scan(path, size)
    )
    return names


def read_all(files, index):
    read, counts = records.open_tfrecords(files, index)
    dataset = tf.data.Dataset.range(sum(counts)).map(read)
    return counts, list(dataset.as_numpy_iterator())


def test_every_record_by_its_number(files, tmp_path):
    counts, found = read_all(files, tmp_path / "x.offsets.npz")
    assert counts == [3, 0, 2]
    assert [record for record, _ in found] == [r for part in RECORDS for r in part]
    names = [f"{files[0]}, record {n}" for n in range(3)]
    names += [f"{files[2]}, record {n}" for n in range(2)]
    assert [name.decode() for _, name in found] == names


def test_offsets_are_those_of_the_format(files, tmp_path):
    first, second, third = records.record_offsets(files, tmp_path / "x.offsets.npz")
    assert first.tolist() == [0, 5 + 16, 5 + 16 + 16]
    assert second.tolist() == []
    assert third.tolist() == [0, 7 + 16]


def test_files_are_gone_through_once(files, tmp_path, scanned):
    index = tmp_path / "x.offsets.npz"
    expected = records.record_offsets(files, index)
    again = records.record_offsets(files, index)
    assert scanned == ["0", "1", "2"]
    for offsets, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(offsets, other)
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in [*files, index]:
        shutil.copy2(path, moved)  # keeps the time of change
    records.record_offsets([moved / path.name for path in files], moved / index.name)
    assert scanned == ["0", "1", "2"]


def test_changed_files_are_gone_through_again(files, tmp_path, scanned):
    index = tmp_path / "x.offsets.npz"
    records.record_offsets(files, index)
    scanned.clear()
    with tf.io.TFRecordWriter(str(files[1])) as writer:
        writer.write(b"new")
    assert read_all(files, index)[0] == [3, 1, 2]
    assert scanned == ["1"]
    scanned.clear()
    status = os.stat(files[2])  # the same size, another time
    os.utime(files[2], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    records.record_offsets(files, index)
    records.record_offsets(files, index)
    assert scanned == ["2"]


@pytest.mark.parametrize("content", [b"", b"PK not a zip", None])
def test_an_index_that_cannot_be_read_is_made_anew(files, tmp_path, content):
    index = tmp_path / "x.offsets.npz"
    if content is None:
        np.savez(index, names=["x"])
    else:
        index.write_bytes(content)
    assert read_all(files, index)[0] == [3, 0, 2]
    with np.load(index) as kept:
        assert kept["counts"].tolist() == [3, 0, 2]
    assert not list(tmp_path.glob(".x.*"))


def test_where_the_data_cannot_be_written_the_index_is_in_the_cache(
    files, tmp_path, cache, scanned
):
    (tmp_path / "file").touch()
    index = tmp_path / "file" / "x.offsets.npz"  # nothing can be made below a file
    for _ in range(2):
        assert read_all(files, index)[0] == [3, 0, 2]
    assert len(scanned) == 3
    assert len(list(cache.glob("tfcnns/*/x.offsets.npz"))) == 1


def test_with_no_place_for_the_index_records_are_read_all_the_same(files, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert read_all(files, tmp_path / "file" / "x.offsets.npz")[0] == [3, 0, 2]


@pytest.mark.parametrize("byte", [9, 13])  # a checksum's, and the record's own
def test_damaged_records_are_named(files, tmp_path, byte):
    data = bytearray(files[2].read_bytes())
    data[7 + 16 + byte] ^= 1
    files[2].write_bytes(data)
    read, _ = records.open_tfrecords(files, tmp_path / "x.offsets.npz")
    good = tf.data.Dataset.from_tensors(np.int64(3)).map(read)
    assert next(good.as_numpy_iterator())[0] == RECORDS[2][0]
    bad = tf.data.Dataset.from_tensors(np.int64(4)).map(read)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{files[2]}, record 1 is damaged"):
        next(bad.as_numpy_iterator())


@pytest.mark.parametrize("kept", [3, 40, -1])
def test_cut_off_files_are_named(files, tmp_path, kept):
    files[0].write_bytes(files[0].read_bytes()[:kept])
    with pytest.raises(UserError, match=f"{files[0]} isn't an uncompressed TFRecord file, or is"):
        records.open_tfrecords(files, tmp_path / "x.offsets.npz")


def test_compressed_files_are_refused(tmp_path):
    path = tmp_path / "x.tfrecord"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        writer.write(b"record" * 100)
    with pytest.raises(UserError, match=r"x\.tfrecord isn't an uncompressed TFRecord file"):
        records.open_tfrecords([path], tmp_path / "x.offsets.npz")


def write_shards(folder, shards=3, examples=20, **parts):
    """TFRecord shards of somebody's own, with TFDS' metadata, of JPEGs of one grey each."""
    features = tfds.features.FeaturesDict(
        {
            "picture": tfds.features.Image(encoding_format="jpeg"),
            "kind": tfds.features.ClassLabel(names=["dark", "light"]),
            "note": tfds.features.Text(),
        }
    )
    folder.mkdir()
    for part, count in {"train": examples, **parts}.items():
        for shard in range(shards):
            path = folder / f"mine-{part}.tfrecord-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for n in range(shard * count // shards, (shard + 1) * count // shards):
                    grey = 10 * n
                    example = {
                        "picture": np.full([12, 16, 3], grey, np.uint8),
                        "kind": int(grey > 100),
                        "note": "any",
                    }
                    writer.write(features.serialize_example(features.encode_example(example)))
    template = tfds.core.ShardedFileTemplate(
        dataset_name="mine",
        template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        filetype_suffix="tfrecord",
        data_dir=folder,
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=tfds.folder_dataset.compute_split_info(filename_template=template),
        filename_template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        check_data=False,
    )
    return f"records:{folder}"


def greys(source):
    def mean(image, label):
        return tf.reduce_mean(tf.cast(jpeg.decode(image), tf.float32)) / 10, label

    return [
        (round(float(grey)), label)
        for grey, label in source.dataset().map(mean).as_numpy_iterator()
    ]


def test_shards_of_ones_own(tmp_path):
    name = write_shards(tmp_path / "mine", test=3)
    expected = [(n, int(n > 10)) for n in range(20)]
    source = open_dataset(name, "train+validation")
    assert source.class_names == ("dark", "light")
    assert greys(source) == expected
    assert greys(open_dataset(name, "validation")) == [expected[9], expected[19]]
    assert greys(open_dataset(name, "train")) == expected[:9] + expected[10:19]
    assert greys(open_dataset(name, "test")) == expected[:3]
    assert (tmp_path / "mine" / "mine-train.offsets.npz").exists()


def test_shards_with_all_three_parts(tmp_path):
    name = write_shards(tmp_path / "mine", test=3, validation=4, shards=1, examples=5)
    assert [len(open_dataset(name, split)) for split in ("train", "validation", "test")] == [
        5,
        4,
        3,
    ]
    both = open_dataset(name, "train+validation")
    assert [grey for grey, _ in greys(both)] == [0, 1, 2, 3, 4, 0, 1, 2, 3]


def test_shards_that_are_missing_or_short(tmp_path):
    name = write_shards(tmp_path / "mine")
    shard = tmp_path / "mine" / "mine-train.tfrecord-00001-of-00003"
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(b"one")
    with pytest.raises(UserError, match=f"{shard} has 1 records; dataset_info.json says 7"):
        open_dataset(name, "train")
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard} is missing; 1 of 3 files are"):
        open_dataset(name, "train")
    with pytest.raises(UserError, match=f"{tmp_path}/mine has no test images; it has train"):
        open_dataset(name, "test")


def test_batches_are_the_same_however_they_are_read(tmp_path):
    source = open_dataset(write_shards(tmp_path / "mine"), "train")

    def example(index, seed):
        image, label = source.example(index)
        return jpeg.random_crop(image, 8, seed, short_side=10), label, index

    def stream(**more):
        made = batches(example, len(source), 6, seed=1, shuffle=True, epochs=2, **more)
        return list(made.as_numpy_iterator())

    full = stream()
    assert len(full) == 6
    for batch, expected in zip(stream(first_step=4), full[4:], strict=True):
        for part, other in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(part, other)
    workers = [stream(worker=worker, workers=3) for worker in range(3)]
    for *parts, expected in zip(*workers, full, strict=True):
        for part, other in zip(zip(*parts, strict=True), expected, strict=True):
            np.testing.assert_array_equal(np.concatenate(part), other)
    indices = np.concatenate([batch[2] for batch in full[:3]])
    assert sorted(indices) == list(range(18))
