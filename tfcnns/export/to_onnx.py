"""ONNX files, from tensors, batches of any size."""

import logging

import tensorflow as tf

from tfcnns.errors import UserError

from .endpoints import IMAGES, for_servers, named

OPSET = 18
LARGEST = 2_000_000_000  # bytes of weights in the file itself: protobuf ends at 2^31


def write(file, model):
    """Converts serving_default and writes it to a file.

    The converter keeps a dozen copies of a graph's constants. So it sees the weights as further
    inputs of the graph, and they are written into the file afterwards, one by one. Those that
    don't fit into a file of protobuf lie beside it, in `file`.data, where readers of ONNX look.

    Raises: UserError if the model has what ONNX lacks.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    variables = model.trainable_variables + model.non_trainable_variables
    weights = {f"weight{i}": variable for i, variable in enumerate(variables)}
    signature = [tf.TensorSpec(v.shape, v.dtype, name) for name, v in weights.items()]
    signature = [tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, IMAGES), *signature]

    @tf.function(input_signature=signature, autograph=False)
    def serving_default(images, *values):
        trainable = len(model.trainable_variables)
        state = values[:trainable], values[trainable:]
        outputs, _ = model.stateless_call(*state, images, training=False)
        return named(outputs)

    try:
        with for_servers():
            converted, _ = tf2onnx.convert.from_function(serving_default, signature, opset=OPSET)
    except Exception as error:  # what it raises has no class of its own
        raise UserError(f"onnx: {str(error).strip().splitlines()[0][:300]}") from error
    value, names = _cut_out(converted.graph, weights)
    _save(file, converted, value, names)


def _cut_out(graph, weights):
    """Takes the inputs that are weights, and what is made of them alone, out of a graph.

    A convolution's kernel, which ONNX has in another order, for instance: not all programs that
    read ONNX take one that is worked out when the graph runs.

    Returns: a function of a name that gives its array, and the names that the graph still uses.
    """
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    constants = {tensor.name: tensor for tensor in graph.initializer}
    made = {}

    def value(name):
        if name in weights:
            return weights[name].numpy()
        return made[name] if name in made else numpy_helper.to_array(constants[name])

    kept = []
    for node in graph.node:  # each after those whose outputs it takes
        ours = [name in weights or name in made for name in node.input]
        if any(ours) and all(a or b in constants for a, b in zip(ours, node.input, strict=True)):
            given = {name: value(name) for name in node.input}
            made.update(zip(node.output, ReferenceEvaluator(node).run(None, given), strict=True))
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input} | {x.name for x in graph.output}
    inputs = [x for x in graph.input if x.name not in weights]
    small = [tensor for name, tensor in constants.items() if name in used]
    for field, rest in ((graph.node, kept), (graph.input, inputs), (graph.initializer, small)):
        del field[:]
        field.extend(rest)
    return value, [name for name in (*weights, *made) if name in used]


def _save(file, model, value, names):
    """Writes the model with these initializers: `value(name)` is asked for one after the other.

    protobuf's own serialisation would hold three copies of them.
    """
    sizes = {name: value(name).nbytes for name in names}
    beside = file.with_name(f"{file.name}.data")
    place = file if sum(sizes.values()) <= LARGEST else beside
    tensors = {name: _described(value(name), name) for name in names}
    if place is beside:
        _point_beside(model.graph, tensors, sizes, beside.name)
        file.write_bytes(model.SerializeToString())
        with open(beside, "wb") as data:
            for name in names:
                data.write(value(name).tobytes())
        return
    # A message in a message is its field's number, its length and its bytes, in any order:
    # model { graph { the rest, initializer { the rest, raw_data } ... } the rest }
    heads = []
    for name, tensor in tensors.items():
        head = tensor.SerializeToString() + _field(9, sizes[name])
        heads.append(_field(5, len(head) + sizes[name]) + head)
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    length = len(graph) + sum(map(len, heads)) + sum(sizes.values())
    with open(file, "wb") as out:
        out.write(model.SerializeToString() + _field(7, length) + graph)
        for name, head in zip(names, heads, strict=True):
            out.write(head)
            out.write(value(name).tobytes())


def _described(array, name):
    """An onnx.TensorProto without its numbers."""
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.TensorProto(dims=array.shape, data_type=kind, name=name)


def _point_beside(graph, tensors, sizes, location):
    """Initializers whose numbers follow each other in another file."""
    import onnx

    offset = 0
    for name, tensor in tensors.items():
        tensor.data_location = onnx.TensorProto.EXTERNAL
        where = {"location": location, "offset": offset, "length": sizes[name]}
        for key, text in where.items():
            tensor.external_data.add(key=key, value=str(text))
        offset += sizes[name]
        graph.initializer.append(tensor)


def _field(number, length):
    """What stands before a field of so many bytes in protobuf's encoding."""
    encoded = [number << 3 | 2]
    while length >= 128:
        encoded.append(length & 127 | 128)
        length >>= 7
    return bytes([*encoded, length])
