"""Two logical CPUs for every test, so that device placement and replicas are real."""

import warnings

import pytest

from tfcnns import cli


def pytest_configure(config):
    with warnings.catch_warnings():  # pytest's own filters stay
        cli.start_tensorflow(verbosity=0)
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)


@pytest.fixture(autouse=True)
def _float32_again():
    """Scripts that run in this process set Keras' precision, and leave it."""
    yield
    import keras

    keras.config.set_dtype_policy("float32")
