"""Maxout on CIFAR-100, without augmentation.

Paper: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks" (2013), section 5.3,
    table 4: 38.57 % test error.
Command: python -m tfcnns.train --recipe=maxout_cifar100 --data_dir=DATA --out=runs/hundred1
    and the same with --out=runs/hundred2 --set stage=2 --set from_run=runs/hundred1
Cost: 16,292,920 parameters, hundreds of epochs of 313 steps, then of 391; a week on 2 CPU cores at
    106 images a second.
Expected: 38.57 % test error after stage 2; 41.48 % after stage 1, on 40,000 images.

The recipe `maxout_cifar10` with 100 classes: the paper used its settings.

Differs from the paper: it may. The authors never published the file of this result. Three that
survive of their experiments agree neither on the size of the net nor on the rate (.17 or .1), on
dropout of the image (half of it, or a fifth as here) and on the second stage.
"""

from tfcnns import models
from tfcnns.recipes import maxout_cifar10 as base
from tfcnns.recipes import nin_cifar10, nin_cifar100

PAPER = {
    "paper": "Maxout Networks (Goodfellow 2013)",
    "table": "4",
    "number": "38.57 % test error",
    "parameters": 16_292_920,
}

data, view, compile = base.data, base.view, base.compile


def config():
    return {**base.config(), "data": "cifar100", "class_names": nin_cifar100.CLASS_NAMES}


def model(config):
    return models.maxout_cifar100(
        config["input_shape"],
        width=config["width"],
        preprocessing=nin_cifar10.preprocessing(config),
    )
