"""Reads .caffemodel files without Caffe: the little of protobuf's wire format that they use."""

import math

import numpy as np

from tfcnns.errors import UserError


def read_caffemodel(path):
    """Returns {layer name: [array, ...]} for every layer of the file that has weights, in order.

    The arrays are Caffe's blobs as they are, weights before biases, of float32 (float64 in files
    written so), mapped into memory rather than read. All three generations of the format are
    known: `layer` of today, `layers` of 2014, in which the zoo's files are, and `layers` with a
    `layer` inside, before that; sizes as a shape, or as num, channels, height and width.

    Raises: UserError, naming the file, if it can't be read, is cut off or damaged, is of another
        kind, or holds no weights.

    Source: the messages' fields are those of BVLC/caffe, src/caffe/proto/caffe.proto; the wire
    format is protobuf.dev/programming-guides/encoding.
    """
    try:
        data = np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise UserError(f"can't read weights {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is empty") from error
    try:
        layers = dict(_layers(memoryview(data)))
    except _DamagedError as error:
        raise UserError(f"{path} is cut off, damaged or no .caffemodel: {error}") from error
    if not layers:
        raise UserError(f"{path} holds no layer with weights: not a .caffemodel")
    return layers


class _DamagedError(Exception):
    pass


# Field numbers of caffe.proto: of a name and of the blobs.
_LAYER = (1, 7)  # LayerParameter, field 100 of NetParameter
_V1_LAYER = (4, 6)  # V1LayerParameter, field 2 of NetParameter
_V0_LAYER = (1, 50)  # V0LayerParameter, field 1 of V1LayerParameter


def _layers(net):
    """Yields (name, blobs) of each layer that has blobs."""
    for number, value in _fields(net):
        if number == 100:
            layer, fields = _message(value), _LAYER
        elif number == 2:
            layer, fields = _message(value), _V1_LAYER
            for inner, message in _fields(layer):
                if inner == 1:
                    layer, fields = _message(message), _V0_LAYER
        else:
            continue
        name, blobs = "", []
        for inner, value in _fields(layer):
            if inner == fields[0]:
                name = bytes(_message(value)).decode("utf-8", "replace")
            elif inner == fields[1]:
                blobs.append(_blob(_message(value), name))
        if blobs:
            yield name, blobs


def _blob(message, layer):
    """A BlobProto as an array that looks into the file."""
    legacy, shape = {}, None
    numbers = {5: [], 8: []}  # data, double_data
    for number, value in _fields(message):
        if number in (1, 2, 3, 4):  # num, channels, height, width
            legacy[number] = _integer(value)
        elif number == 7:
            shape = [size for field, sizes in _fields(_message(value)) for size in _sizes(sizes)]
        elif number in numbers:
            numbers[number].append(_message(value))
    if legacy:
        shape = [legacy.get(number, 0) for number in (1, 2, 3, 4)]
    parts, dtype = (numbers[8], np.dtype("<f8")) if numbers[8] else (numbers[5], np.dtype("<f4"))
    # One part holds all numbers, unless the writer didn't pack them: then each has its own.
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    fits = shape is not None and math.prod(shape) * dtype.itemsize == len(data)
    if not fits or not data or len(shape) > 8:
        raise _DamagedError(
            f"layer {layer!r} has {len(data):,} bytes of {dtype} for an array of {shape}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _sizes(value):
    """The integers of a BlobShape's field, packed or not."""
    if isinstance(value, int):
        return [value]
    sizes, position = [], 0
    while position < len(value):
        size, position = _varint(value, position)
        sizes.append(size)
    return sizes


def _message(value):
    if isinstance(value, int):
        raise _DamagedError("it has a number where a message belongs")
    return value


def _integer(value):
    if not isinstance(value, int):
        raise _DamagedError("it has a message where a number belongs")
    return value


def _fields(message):
    """Yields (field number, integer or piece of `message`) for each field."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, position = _varint(message, position)
        elif kind in (1, 2, 5) and number:
            if kind == 2:
                length, position = _varint(message, position)
            else:
                length = 8 if kind == 1 else 4
            if length > len(message) - position:
                raise _DamagedError(f"{length - len(message) + position:,} bytes are missing")
            value = message[position : position + length]
            position += length
        else:
            raise _DamagedError(f"byte {key:#x} begins no field")
        yield number, value


def _varint(message, position):
    """An integer of 7 bits a byte, the lowest first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position == len(message):
            raise _DamagedError("it ends in the middle of a number")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise _DamagedError("an integer has more than 64 bits")
