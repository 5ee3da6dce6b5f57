"""The reader of .caffemodel files against files that Google's protobuf wrote."""

import contextlib

import numpy as np
import pytest
from caffe_files import caffemodel

from tfcnns.errors import UserError
from tfcnns.models.caffemodel import read_caffemodel

GENERATIONS = ["layer", "layers", "V0"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.caffemodel"


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    shapes = {"conv1": [(4, 3, 2, 5), (4,)], "fc6": [(7, 300), (7,)], "no bias": [(1, 2, 1, 1)]}
    return {
        name: [rng.normal(size=shape).astype("float32") for shape in sizes]
        for name, sizes in shapes.items()
    }


def assert_equal(read, blobs, sizes):
    """`sizes` gives the shape that the file has for an array."""
    assert list(read) == list(blobs)
    for name, arrays in blobs.items():
        assert [array.shape for array in read[name]] == [sizes(array) for array in arrays]
        for mine, theirs in zip(read[name], arrays, strict=True):
            np.testing.assert_array_equal(mine.ravel(), theirs.ravel())


@pytest.mark.parametrize("settings", [{}, {"double": True}, {"packed": False}, {"diff": True}])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_reads_what_protobuf_wrote(path, blobs, generation, settings):
    path.write_bytes(caffemodel(blobs, generation, **settings))

    def sizes(array):
        ones = 0 if generation == "layer" else 4 - array.ndim
        return (1,) * ones + array.shape

    read = read_caffemodel(path)
    assert_equal(read, blobs, sizes)
    assert read["fc6"][0].dtype == ("float64" if "double" in settings else "float32")


def test_maps_the_numbers_instead_of_reading_them(path, blobs):
    path.write_bytes(caffemodel(blobs))
    array = read_caffemodel(path)["fc6"][0]
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_unknown_fields_are_passed_over(path, blobs):
    spare = b"\x0a\x03net" + b"\xf8\x07\x96\x01" + b"\xf5\x07abcd" + b"\xf1\x07abcdefgh"
    path.write_bytes(spare + caffemodel(blobs) + spare)
    assert_equal(read_caffemodel(path), blobs, np.shape)


def test_the_smallest_file_by_hand(path):
    blob = b"\x3a\x03\x0a\x01\x02" + b"\x2a\x08\x00\x00\x80\x3f\x00\x00\x00\xc0"  # (2,): 1, -2
    layer = b"\x0a\x01a" + b"\x3a" + bytes([len(blob)]) + blob
    path.write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    (name,) = read_caffemodel(path)
    assert name == "a"
    np.testing.assert_array_equal(read_caffemodel(path)[name][0], [1, -2])


def refused(path, message):
    with pytest.raises(UserError, match=message) as caught:
        read_caffemodel(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_refuses_what_cannot_be_read(tmp_path, path):
    refused(path, "can't read weights .*: No such file or directory")
    refused(tmp_path, "can't read weights .*: Is a directory")
    path.write_bytes(b"")
    refused(path, "is empty")


@pytest.mark.parametrize(
    "data",
    [
        b'name: "AlexNet"\nlayer {\n',
        b"<html><body>404</body></html>",
        b"\x89HDF\r\n\x1a\n" + bytes(64),
        b"version https://git-lfs.github.com/spec/v1\n",
        b"PK\x03\x04" + bytes(64),
        bytes(64),
        b"\xff" * 64,
    ],
    ids=["prototxt", "HTML", "HDF5", "LFS", "zip", "zeros", "ones"],
)
def test_refuses_other_files(path, data):
    path.write_bytes(data)
    refused(path, "no .caffemodel|not a .caffemodel")


def test_refuses_a_net_without_weights(path):
    path.write_bytes(caffemodel({}))
    refused(path, "holds no layer with weights")


def test_refuses_shapes_that_do_not_fit_the_numbers(path, blobs):
    data = caffemodel({"conv1": [np.zeros((4, 3), "float32")]})
    assert b"\x0a\x02\x04\x03" in data  # the shape
    for wrong in (b"\x0a\x02\x04\x02", b"\x0a\x02\x7f\x7f", b"\x0a\x02\x00\x00"):
        path.write_bytes(data.replace(b"\x0a\x02\x04\x03", wrong))
        refused(path, "layer 'conv1' has 48 bytes of float32 for an array of")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_cut_off_anywhere(path, blobs, generation):
    """It is refused, or, cut between two layers, has the layers before the cut."""
    blobs["fc6"] = [array[:, :3] if array.ndim == 2 else array for array in blobs["fc6"]]
    data = caffemodel(blobs, generation)
    whole = 0
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        try:
            read = read_caffemodel(path)
        except UserError:
            continue
        whole += 1
        assert list(read) == list(blobs)[: len(read)]
    assert whole < 4 * len(blobs)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_damaged_anywhere(path, blobs, generation):
    """No damage brings up another error than the one line."""
    data = caffemodel({"conv1": [array[:2] for array in blobs["conv1"]]}, generation)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            read_caffemodel(path)
