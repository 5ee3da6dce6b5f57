"""Writes .caffemodel files with Google's protobuf, from the fields of BVLC/caffe's caffe.proto."""

import functools
import types

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELDS = {
    "BlobShape": [("dim", 1, "int64*")],
    "BlobProto": [
        ("num", 1, "int32"),
        ("channels", 2, "int32"),
        ("height", 3, "int32"),
        ("width", 4, "int32"),
        ("data", 5, "float*"),
        ("diff", 6, "float*"),
        ("shape", 7, "BlobShape"),
        ("double_data", 8, "double*"),
    ],
    "V0LayerParameter": [
        ("name", 1, "string"),
        ("type", 2, "string"),
        ("num_output", 3, "uint32"),
        ("blobs", 50, "BlobProto*"),
    ],
    "V1LayerParameter": [
        ("layer", 1, "V0LayerParameter"),
        ("bottom", 2, "string*"),
        ("top", 3, "string*"),
        ("name", 4, "string"),
        ("type", 5, "int32"),  # an enum, which is written alike
        ("blobs", 6, "BlobProto*"),
        ("blobs_lr", 7, "float*"),
    ],
    "LayerParameter": [
        ("name", 1, "string"),
        ("type", 2, "string"),
        ("bottom", 3, "string*"),
        ("top", 4, "string*"),
        ("blobs", 7, "BlobProto*"),
        ("phase", 10, "int32"),
    ],
    "NetParameter": [
        ("name", 1, "string"),
        ("layers", 2, "V1LayerParameter*"),
        ("input", 3, "string*"),
        ("input_dim", 4, "int32*"),
        ("layer", 100, "LayerParameter*"),
    ],
}


@functools.cache
def messages(packed=True):
    """The message classes; `packed` is about lists of numbers in blobs."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name=f"caffe_{packed}.proto", package=f"caffe_{packed}", syntax="proto2"
    )
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, label=1)
            if kind.endswith("*"):
                added.label = field_type.LABEL_REPEATED
                kind = kind[:-1]
                if name.startswith("Blob"):
                    added.options.packed = packed
            if kind in FIELDS:
                added.type = field_type.TYPE_MESSAGE
                added.type_name = f".{file.package}.{kind}"
            else:
                added.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return types.SimpleNamespace(
        **{
            name: message_factory.GetMessageClass(
                pool.FindMessageTypeByName(f"{file.package}.{name}")
            )
            for name in FIELDS
        }
    )


def caffemodel(blobs, generation="layer", double=False, packed=True, diff=False):
    """The bytes of a net with a data layer, layers of `blobs` and a ReLU after each.

    blobs is {layer name: [array, ...]}; generation "layer" is the format of 2015 and since,
    "layers" that of the model zoo's files, "V0" the one before.
    """
    net = messages(packed).NetParameter(name="net")
    if generation != "layer":
        net.input.append("data")
        net.input_dim.extend([10, 3, 227, 227])

    def add(name, kind):
        if generation == "layer":
            return net.layer.add(name=name, type=kind, bottom=["before"], top=["after"], phase=1)
        if generation == "layers":
            return net.layers.add(name=name, type=4, bottom=["before"], blobs_lr=[1.0, 2.0])
        return net.layers.add(bottom=["before"]).layer

    add("data", "Data")
    for name, arrays in blobs.items():
        layer = add(name, "Convolution")
        if generation == "V0":
            layer.name = name
            layer.type = "conv"
        for array in arrays:
            blob = layer.blobs.add()
            values = array.ravel().tolist()
            (blob.double_data if double else blob.data).extend(values)
            if diff:
                blob.diff.extend([9.0] * array.size)
            if generation == "layer":
                blob.shape.dim.extend(array.shape)
            else:
                sizes = (1,) * (4 - array.ndim) + array.shape
                blob.num, blob.channels, blob.height, blob.width = sizes
        add(f"relu_{name}", "ReLU")
    return net.SerializeToString()
