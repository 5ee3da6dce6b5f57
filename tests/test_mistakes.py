"""What a script tells of an error in one line, and which errors keep their traceback."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.mistakes import mistake, tried


def said_of(function):
    with pytest.raises(Exception) as raised:  # noqa: PT011  of every kind
        function()
    return mistake(raised.value)


def trained(images, labels):
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    net.compile("sgd", "sparse_categorical_crossentropy")
    net.fit(images, labels, shuffle=False, verbose=0)


def read(function, *values):
    return lambda: list(tf.data.Dataset.from_tensors(values).map(function))


def in_python(error):
    def fail(value):
        raise error

    return read(lambda value: tf.numpy_function(fail, [value], tf.int64), 1)


def test_what_the_user_gave_is_one_line(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (tmp_path / "bad.tfrecord").write_bytes(bytes(range(64)))
    missing = str(tmp_path / "missing.jpg")
    decode = read(lambda name: tf.io.decode_jpeg(tf.io.read_file(name)), str(tmp_path / "bad.jpg"))
    assert said_of(decode).startswith("reading the data: ")
    assert "JPEG" in said_of(decode)
    assert said_of(read(tf.io.read_file, missing)) == (
        f"reading the data: {missing}; No such file or directory"
    )
    records = tf.data.TFRecordDataset(str(tmp_path / "bad.tfrecord"))
    assert said_of(lambda: list(records)).startswith("reading the data: corrupted record at 0")
    in_fit = records.map(lambda record: (tf.zeros(4), 0)).batch(1)
    assert said_of(lambda: trained(in_fit, None)).startswith("reading the data: corrupted record")
    assert "label value of 7" in said_of(lambda: trained(np.zeros((8, 4)), np.full(8, 7)))
    assert said_of(in_python(UserError("x.png is damaged"))) == "x.png is damaged"
    assert said_of(in_python(FileNotFoundError(2, "No such file or directory", "x.png"))) == (
        "[Errno 2] No such file or directory: 'x.png'"
    )
    checkpoint = tf.train.Checkpoint(v=tf.Variable(1.0))
    below_a_file = str(tmp_path / "bad.jpg" / "x")
    assert said_of(lambda: checkpoint.write(below_a_file)).startswith(str(tmp_path / "bad.jpg"))
    for error in (said_of(decode), said_of(lambda: list(records))):
        assert "\n" not in error
        assert "{{" not in error
        assert "[Op" not in error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("no such\n  thing"), "no such thing"),
        (FileNotFoundError(2, "No such file", "a"), "a: No such file"),
        (OSError(18, "Cross-device link", "a", None, "b"), "a -> b: Cross-device link"),
        (PermissionError(1, "Not permitted", b"caf\xe9"), "caf\udce9: Not permitted"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("Unable to open file\n(truncated)"), "Unable to open file (truncated)"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_files_and_the_system(error, said):
    assert mistake(error) == said


def test_bugs_are_none():
    assert mistake(ValueError("ours")) is None
    assert mistake(KeyError("ours")) is None
    assert said_of(lambda: tf.matmul(tf.zeros((2, 3)), tf.zeros((2, 3)))) is None
    assert said_of(in_python(ValueError("ours"))) is None


def test_an_error_that_is_tried_names_what_it_was_for():
    def fail(error):
        raise error

    assert tried("x", str, 5) == "5"
    assert str(tried("x.png", fail, UserError("x.png is damaged"))) == "x.png is damaged"
    assert str(tried("x.png", fail, OSError(5, "Input/output error"))) == (
        "x.png: Input/output error"
    )
    with pytest.raises(KeyError):
        tried("x.png", fail, KeyError("ours"))
