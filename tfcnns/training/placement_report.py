"""Where each weight, slot and operation of a training step is."""

import dataclasses
import re

import keras
import tensorflow as tf

FREE = "not pinned"
KINDS = ("forward", "backward", "update")


@dataclasses.dataclass
class Place:
    """What one layer has on one device.

    Attributes:
        layer: the layer's name; `device`: such as "/GPU:0", or FREE for operations that no one
            has bound to a device: TensorFlow puts them on the first GPU, or on the CPU.
        weights, slots: numbers held in weights, and in the optimiser's variables for them.
        forward, backward, update: operations on numbers that are not whole ones.
        compiled: how many of these are XLA segments, each of many operations.
        received: floats an image that come from another device, forwards.
    """

    layer: str
    device: str
    weights: int = 0
    slots: int = 0
    forward: int = 0
    backward: int = 0
    update: int = 0
    compiled: int = 0
    received: int = 0


def placement(model, batch):
    """The places of a compiled model, from a trace of one training step; nothing is trained.

    Args:
        model: compiled keras.Model with a built optimiser.
        batch: the `element_spec` of its training data, or a batch: (x, y) or (x, y, weights).

    Returns:
        A list of `Place`, layers in the order of the model, devices in that of the alphabet. What
        a branch of the graph holds (the update under loss scaling) is not counted.
    """
    places = {}

    def place(layer, device):
        return places.setdefault((layer, device), Place(layer, device))

    owners = {}  # of each variable's handle: its layer
    for layer in model.layers:
        for weight in layer.weights:
            owners[id(weight.value.handle)] = layer.name
            place(layer.name, _short(weight.value.device)).weights += _size(weight)
    for variable in model.optimizer.variables:
        layer = _layer_of_slot(variable, model)
        if layer is not None:
            owners[id(variable.value.handle)] = layer
            place(layer, _short(variable.value.device)).slots += _size(variable)

    graph = _trace(model, batch)
    functions = graph.as_graph_def().library.function
    compiled = {f.signature.name for f in functions if "_XlaMustCompile" in f.attr}
    names = {layer.name for layer in model.layers}
    handles = {inner.op.name: outer for outer, inner in graph.captures}
    not_layers = (model.optimizer.name, "compile_loss", "gradient_tape/compile_loss")
    found = {}  # of each operation forwards: its layer
    last = None  # updates stand together: one that names no weight belongs to the one before
    for op in graph.get_operations():
        layer, kind = _layer_and_kind(op.name, names)
        if layer is None and not op.name.startswith(not_layers):
            layer, kind = _layer_of_inputs(op, found), "backward"  # of a gradient of our own
        elif layer is not None and kind == "forward":
            found[op.name] = layer
        device = _short(op.device) or FREE
        for tensor in op.inputs:
            handle = handles.get(tensor.op.name)
            if tensor.dtype == tf.resource and id(handle) in owners:
                device = _short(handle.device)
                if layer is None:
                    layer, kind = owners[id(handle)], "update"
        if layer is None and op.name.startswith(model.optimizer.name):
            layer, kind = last, "update"
        if kind == "update":
            last = layer
        if layer is None or not _works(op):
            continue
        one = place(layer, device)
        setattr(one, kind, getattr(one, kind) + 1)
        one.compiled += "PartitionedCall" in op.type and op.get_attr("f").name in compiled
        if kind == "forward" and device != FREE:
            one.received += sum(_floats(t) for t in _from_elsewhere(op, device))
    order = {layer.name: i for i, layer in enumerate(model.layers)}
    return sorted(places.values(), key=lambda p: (order[p.layer], p.device == FREE, p.device))


def table(places):
    """The places as lines of text, one a layer and device."""
    rows = [("layer", "device", "weights", "slots", *KINDS, "XLA", "received")]
    last = None
    for p in places:
        counts = [p.weights, p.slots, p.forward, p.backward, p.update, p.compiled, p.received]
        cells = [f"{count:,}" if count else "" for count in counts]
        rows.append(("" if p.layer == last else p.layer, p.device, *cells))
        last = p.layer
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    first = keras.distribution.list_devices()[0].upper()
    return "\n".join(
        [
            *lines,
            "weights, slots: numbers; forward, backward, update: operations in the graph of a "
            "training step, XLA: compiled segments among them;",
            "received: numbers an image from another device, forwards. "
            f"TensorFlow puts what is {FREE} on /{first}.",
        ]
    )


def _trace(model, batch):
    def spec(tensor):
        if isinstance(tensor, tf.TypeSpec):
            return tensor
        return tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)

    def step(batch):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True), sample_weight, training=True)
            loss = model.optimizer.scale_loss(loss)
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, variables), variables)

    return tf.function(step).get_concrete_function(tf.nest.map_structure(spec, batch)).graph


def _layer_of_slot(variable, model):
    """The layer whose weight the optimiser's variable belongs to, by its name, or None."""
    name = variable.path.rsplit("/", 1)[-1]
    matching = [
        layer.name
        for layer in model.layers
        if any(name.startswith(w.path.replace("/", "_") + "_") for w in layer.weights)
    ]
    return max(matching, key=len, default=None)


def _layer_and_kind(name, layers):
    backward = name.startswith("gradient") or "/gradient" in name
    for part in name.split("/"):
        for candidate in (part, re.sub(r"_\d+$", "", part)):
            if candidate in layers:
                return candidate, "backward" if backward else "forward"
    return None, None


def _layer_of_inputs(op, found):
    """The layer whose results the operation goes on with, or None."""
    layers = [found[t.op.name] for t in op.inputs if t.op.name in found]
    return layers[-1] if layers else None


# What moves or fills in numbers; zeros are those of gradients that turn out not to be needed.
_IDLE = {"Const", "Placeholder", "Identity", "IdentityN", "ReadVariableOp", "ZerosLike", "Fill"}


def _works(op):
    if op.type in _IDLE:
        return False
    return op.type.startswith("Assign") or any(t.dtype.is_floating for t in op.outputs)


def _from_elsewhere(op, device):
    """The inputs that another device has worked out, past operations that do nothing."""
    for tensor in op.inputs:
        source = _short(tensor.op.device)
        if tensor.dtype.is_floating and source and source != device:
            yield tensor


def _floats(tensor):
    return tensor.shape[1:].num_elements() or 0 if tensor.shape.rank else 0


def _size(variable):
    return tf.TensorShape(variable.shape).num_elements()


def _short(device):
    """ "/GPU:0" of TensorFlow's full name; "" of none."""
    found = re.search(r"([A-Za-z]+):(\d+)$", device or "")
    return f"/{found[1].upper()}:{found[2]}" if found else ""
