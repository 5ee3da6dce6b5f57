"""Where the work of a tower is done: the names of devices, and pins that hold backwards too."""

import contextlib
import logging

import keras

_pins = True  # the switch of `device_pins`
_said = set()


class MissingDevice(ValueError):  # noqa: N818  named for what is wrong
    """A device was asked for that this machine, or this process, doesn't have."""


@contextlib.contextmanager
def device_pins(on):
    """Within `with device_pins(False):`, layers ignore their `devices`.

    What is built there lies on the default device, and what is traced there holds no names of
    devices: for exports, and to open a net for two devices where there is one. The weights are
    the same ones, in the same order.
    """
    global _pins
    before, _pins = _pins, bool(on)
    try:
        yield
    finally:
        _pins = before


def device_pins_are_on():
    """Whether names of devices are used now."""
    return _pins


def check_devices(devices):
    """Refuses devices that don't exist, and any beside a tf.distribute strategy.

    Args:
        devices: None, or names such as "/GPU:0", "gpu:1" or "/device:CPU:0".

    Raises:
        MissingDevice: one doesn't exist; the message names those that do.
        ValueError: under the scope of a strategy, which would ignore them.
    """
    if devices is None or not _pins:
        return
    if _has_strategy():
        raise ValueError(
            "`devices` puts towers on devices, and a tf.distribute strategy puts replicas there: "
            "use one of the two, so under a strategy devices=None, or device_pins(False) to open "
            f"a saved model. Received: devices={tuple(devices)}"
        )
    missing = _missing(devices)
    if missing:
        raise MissingDevice(
            f"`devices` must exist; this process has {', '.join(_existing())}. "
            f"Received: devices={tuple(devices)}, without {', '.join(missing)}"
        )


def usable_devices(devices, saved):
    """`devices` as they are to be used: None for one device.

    Args:
        devices: as for `check_devices`, which refuses what can't be.
        saved: whether they come from a saved configuration, and so perhaps from another machine:
            then those that don't exist are given up, all of them, with one line in the log.
    """
    if devices is None or not _pins:
        return None
    if saved and not _has_strategy() and _missing(devices):
        say_one_device(devices)
        return None
    check_devices(devices)
    return devices


def say_one_device(devices):
    """Logs, once for the same devices, that a model is on one device instead."""
    line = (
        f"saved for the devices {', '.join(devices)}; this process has "
        f"{', '.join(_existing())}: the model runs on one device, with the same weights"
    )
    if line not in _said:
        _said.add(line)
        logging.getLogger("tfcnns").warning(line)


def on_device(devices, tower):
    """Where a tower's variables are made, as a context."""
    if devices is None or not _pins:
        return contextlib.nullcontext()
    return keras.device(devices[tower])


def run_on(devices, tower, function, *tensors):
    """`function(*tensors)` on the tower's device, and its gradient there too.

    TensorFlow pins to a device what is called under `tf.device`, which the gradient is not: that
    of every tower would run on the first GPU. Hence a gradient of our own, which asks TensorFlow's
    under the pin. `function` may use no variables; their values go in as tensors.
    """
    if devices is None or not _pins:
        return function(*tensors)
    if keras.backend.backend() != "tensorflow":
        with keras.device(devices[tower]):
            return function(*tensors)
    import tensorflow as tf

    if _has_strategy():
        check_devices(devices)  # built outside the strategy's scope, called inside

    @tf.custom_gradient
    def pinned(*tensors):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors)
            outputs = function(*tensors)

        def gradient(*upstream):
            upstream = upstream if isinstance(outputs, (tuple, list)) else upstream[0]
            with tf.device(devices[tower]):
                return tape.gradient(outputs, tensors, upstream, tf.UnconnectedGradients.ZERO)

        return outputs, gradient

    with tf.device(devices[tower]):
        return pinned(*tensors)


def call_on(devices, tower, layer, inputs, around=None):
    """A built layer's call on the tower's device, gradients included: see `run_on`.

    Args:
        devices, tower: where.
        layer: the layer.
        inputs: a tensor, or several.
        around: a function of the layer's call and of the inputs, if not just the one of the other.
    """
    around = around or _just
    inputs = inputs if isinstance(inputs, (tuple, list)) else [inputs]
    if devices is None or not _pins or keras.backend.backend() != "tensorflow":
        return run_on(devices, tower, lambda *x: around(layer, *x), *inputs)
    import tensorflow as tf

    frozen = [tf.convert_to_tensor(v.value) for v in layer.non_trainable_variables]
    weights = [tf.convert_to_tensor(v.value) for v in layer.trainable_variables]

    def call(*tensors):
        x, own = tensors[: len(inputs)], list(tensors[len(inputs) :])
        with keras.name_scope(layer.name):
            return around(lambda x: layer.stateless_call(own, frozen, x)[0], *x)

    return run_on(devices, tower, call, *inputs, *weights)


def copies_for(devices, tower, x, count):
    """`count` times the tower's tensor x; its gradient is summed up on the tower's device."""
    return run_on(devices, tower, lambda x: [x] * count, x)


def _just(function, *inputs):
    return function(*inputs)


def _existing():
    names = {*keras.distribution.list_devices(), *keras.distribution.list_devices("cpu")}
    return [f"/{kind}:{index}" for kind, index in sorted(map(_parse, names))]


def _missing(devices):
    existing = _existing()
    return [device for device in devices if "/{}:{}".format(*_parse(device)) not in existing]


def _parse(device):
    """("GPU", 1) of "/job:localhost/device:GPU:1", "/GPU:1" or "gpu:1"; without an index 0."""
    kind, _, index = device.rsplit("/", 1)[-1].lower().removeprefix("device:").partition(":")
    return kind.upper(), int(index) if index.isdigit() else 0 if index == "" else index


def _has_strategy():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.has_strategy()
