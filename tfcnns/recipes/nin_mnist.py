"""Network in Network on MNIST.

Paper: Lin, Chen, Yan, "Network in Network" (2013), table 4: 0.47 % test error.
Command: python -m tfcnns.train --recipe=nin_mnist --data_dir=DATA --out=runs/nin_mnist
Cost: 349,674 parameters, 260 epochs of 469 steps; 4 hours on 2 CPU cores at 1,100 images a second.
Expected: 0.47 % test error, without augmentation.

The recipe `nin_cifar10` with the net and the constants of the authors' file for MNIST, on pixels
in [0, 1]. All 60,000 images are trained on; `--set split=train` holds the last 10,000 out.

Differs from the paper: the number of epochs is that of CIFAR-10; for MNIST the authors published
constants but no schedule, and nothing tells how they scaled the pixels.

Not known to train: on the digits (`--set data=digits`, batches of 32 and 64) all class maps were
dead within 400 updates, with pixels in [0, 1] as with 0 to 255; `nin_cifar10` says what that is.
With `--set last_activation=None` none died, but 1,000 updates brought the loss no lower either.
With `--set initializer=he_normal --learning_rate=0.01` it learns them: after 890 updates of 128,
88 % were right in training, under dropout.
"""

import keras

from tfcnns import models
from tfcnns.pipelines.digits import CLASS_NAMES
from tfcnns.recipes import nin_cifar10 as base

PAPER = {
    "paper": "Network in Network (Lin 2013)",
    "table": "4",
    "number": "0.47 % test error",
    "parameters": 349_674,
}

data, view, compile = base.data, base.view, base.compile


def config():
    return {
        **base.config(),
        "data": "mnist",
        "input_shape": (28, 28, 1),
        "class_names": CLASS_NAMES,
    }


def model(config):
    return models.nin_mnist(
        **base.net(config), preprocessing=[keras.layers.Rescaling(1 / 255, name="scale")]
    )
