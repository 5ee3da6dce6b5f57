"""AlexNet in two towers on two devices, as on the paper's two GPUs; on two logical CPUs if none.

    python examples/alexnet_two_devices.py

A narrow AlexNet learns scikit-learn's digits at 67 x 67 pixels. Each tower's weights, their
momentum and all work on them lie on its device; a net on one device with the same weights says
the same. What passes between the devices: docs/placement.md.
"""

import keras
import numpy as np
import tensorflow as tf

from tfcnns.models import alexnet
from tfcnns.pipelines.digits import load_digits
from tfcnns.training import PaperSGD
from tfcnns.training.placement import build_optimizer
from tfcnns.training.strategies import make_cpus

SIZE = 67  # pixels


def two_devices():
    """Names of two GPUs, or of two logical CPUs; before TensorFlow has run anything."""
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return ("/GPU:0", "/GPU:1")
    make_cpus(["/CPU:1"])
    return ("/CPU:0", "/CPU:1")


def net(devices):
    return alexnet(
        (SIZE, SIZE, 1),
        classes=10,
        width=1 / 8,
        devices=devices,
        initializers="he_normal",
        preprocessing=[keras.layers.Rescaling(1 / 255, name="scale")],
    )


def main():
    devices = two_devices()
    keras.utils.set_random_seed(0)
    model = net(devices)
    model.compile(
        PaperSGD(0.02, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    build_optimizer(model)
    for layer in model.layers:
        places = {weight.value.device.rpartition("device:")[2] for weight in layer.weights}
        if places:
            print(f"{layer.name}: {', '.join(sorted(places))}")
    model.fit(*load_digits("train", SIZE), batch_size=32, epochs=12, verbose=2)

    x, y = load_digits("test", SIZE)
    print(f"test accuracy: {100 * model.evaluate(x, y, verbose=0)[1]:.1f} %")
    single = net(devices=None)
    single.set_weights(model.get_weights())
    here, there = (one.predict(x[:50], verbose=0) for one in (single, model))
    print(f"largest difference to one device: {np.abs(here - there).max():.1e}")


if __name__ == "__main__":
    main()
