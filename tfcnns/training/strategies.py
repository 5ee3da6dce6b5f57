"""Where a model trains: one device, all devices of a machine, or several machines."""

import contextlib
import functools
import re
import signal
import threading

import keras
import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.training import cluster, replicas
from tfcnns.training.freed_memory import keep_freed_memory

NAMES = ("one", "mirrored", "multiworker")

# Gradients go to the other workers in packs of at least so many bytes, the last layers' first.
# TensorFlow's own way, all of them as one tensor, waits for the first layer's and copies them
# twice: on CPUs it takes AlexNet's twice the processor time (benchmarks/scaling.py).
PACK_BYTES = 4 << 20

_MOST_CPUS = 64  # logical ones: for trying things out, and a typing error asks for more


def make_strategy(name="mirrored", devices=None):
    """A `tf.distribute.Strategy` under which Keras' `fit` trains as if on one device.

    With the same global batches, any number of replicas ends with the weights and the epochs'
    metrics of one, up to the rounding of sums, smaller last batches included; see `replicas`
    for how, and for the kind of loss it holds for. A replica may get no samples at all: layers
    have to take an empty batch, which this package's do and TensorFlow's convolution on CPUs
    doesn't.

    Args:
        name: "one": the device that TensorFlow chooses, or the only one of `devices`.
            "mirrored": a replica on each of `devices`. "multiworker": a replica on each GPU, or
            else on the CPU, of each process that the environment's TF_CONFIG lists; has to be
            made before TensorFlow has run anything. On CPUs the process then keeps the memory
            that it frees, since gradients arrive faster in it (`freed_memory`).
        devices: list of names such as "/GPU:0"; None: all GPUs, or all (logical) CPUs.

    Raises:
        UserError: a device that isn't there, or no TF_CONFIG, or its port is taken.

    Example:
        >>> strategy = make_strategy("mirrored")
        >>> with strategy.scope():
        ...     model = tfcnns.models.nin_cifar10()
        ...     model.compile(PaperSGD(0.1), "sparse_categorical_crossentropy")
        >>> model.fit(dataset_of_global_batches)
    """
    if name not in NAMES:
        raise UserError(f"expected a strategy out of {', '.join(NAMES)}. Received: {name!r}")
    if name == "multiworker":
        if devices:
            raise UserError("multiworker uses every GPU of its process: leave devices out")
        here = cluster.this()
        try:
            with _ctrl_c_ends():
                return _multi_worker()
        except tf.errors.UnknownError as error:
            address = here.addresses[here.worker]
            raise UserError(
                f"this worker can't listen at {address}, its address in TF_CONFIG: "
                f"{error.message}; perhaps something else listens there"
            ) from error
    if name == "one" and not devices:
        return tf.distribute.get_strategy()
    devices = _existing(devices)
    if name == "one":
        if len(devices) != 1:
            raise UserError(f"one device was expected. Received: {', '.join(devices)}")
        return tf.distribute.OneDeviceStrategy(devices[0])
    return _mirrored(devices)


@contextlib.contextmanager
def _ctrl_c_ends():
    """Python's own handler isn't asked while TensorFlow waits for the other workers."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which alone may set handlers
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def make_cpus(devices):
    """Makes this machine's CPU as many logical ones as `devices` name: "/CPU:1" needs two.

    For trying things out. It has no effect once TensorFlow has run anything.

    Raises:
        UserError: more than 64.
    """
    found = [re.search(r"CPU:(\d+)$", str(device).upper()) for device in devices]
    count = 1 + max((int(match[1]) for match in found if match), default=0)
    if count > _MOST_CPUS:
        raise UserError(
            f"one CPU stands for {_MOST_CPUS} at most, /CPU:0 to /CPU:{_MOST_CPUS - 1}. "
            f"Received: {', '.join(map(str, devices))}"
        )
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(cpu, parts)


class _AsOne:
    """Mixed into a strategy: Keras' steps with what `replicas` adds to them."""

    def run(self, fn, args=(), kwargs=None, options=None):
        with replicas.own_seeds():
            model = getattr(fn, "__self__", None)
            steps = ("train_step", "test_step")
            if not isinstance(model, keras.Model) or fn.__name__ not in steps:
                return super().run(fn, args, kwargs, options)
            with replicas.as_one(model, self.num_replicas_in_sync) as wrap:
                return super().run(wrap(fn), args, kwargs, options)

    def reduce(self, reduce_op, value, axis):
        # Keras asks for the mean of a whole batch, over replicas that may hold unequal parts of
        # it, to learn its shapes and types.
        if isinstance(value, (tuple, list, dict)) and reduce_op == "MEAN" and axis is None:
            return keras.tree.map_structure(self._first, value)
        # On several workers it asks for the mean over axis 0 of metrics, which have no axes.
        return super().reduce(reduce_op, value, axis if self._first(value).shape.rank else None)

    def _first(self, value):
        return self.experimental_local_results(value)[0]


class Mirrored(_AsOne, tf.distribute.MirroredStrategy):
    """MirroredStrategy whose replicas train as one."""


class MultiWorker(_AsOne, tf.distribute.MultiWorkerMirroredStrategy):
    """MultiWorkerMirroredStrategy whose replicas train as one, and which works with `fit`."""


@functools.cache  # a second one over the same devices fails (tensorflow#62790)
def _mirrored(devices):
    on_cpus = all("CPU" in device for device in devices)
    return Mirrored(devices, tf.distribute.ReductionToOneDevice() if on_cpus else None)


@functools.cache
def _multi_worker():
    if not tf.config.list_physical_devices("GPU"):
        keep_freed_memory()
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=PACK_BYTES)
    return MultiWorker(communication_options=options)


def _existing(devices):
    """Canonical names of devices, all GPUs or all CPUs by default."""
    there = [device.name for device in tf.config.list_logical_devices()]
    if not devices:
        gpus = [name for name in there if "GPU" in name]
        return tuple(gpus or [name for name in there if "CPU" in name])
    found = []
    for device in devices:
        name = "/device:" + device.upper().lstrip("/").removeprefix("DEVICE:")
        if name not in there:
            raise UserError(
                f"there is no device {device!r}; this machine has "
                + ", ".join(n.removeprefix("/device:").join(["/", ""]) for n in there)
            )
        found.append(name)
    if len(set(found)) != len(found):
        raise UserError(f"a device was given twice: {', '.join(devices)}")
    return tuple(found)
