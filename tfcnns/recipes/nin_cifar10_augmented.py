"""Network in Network on CIFAR-10 with shifts and mirror images.

Paper: Lin, Chen, Yan, "Network in Network" (2013), table 1: 8.81 % test error with translation and
    horizontal flipping.
Command: python -m tfcnns.train --recipe=nin_cifar10_augmented --data_dir=DATA --out=runs/aug
Cost: 966,986 parameters, 260 epochs of 391 steps; 13 hours on 2 CPU cores at 280 images a second.
Expected: 8.81 % test error.

The recipe `nin_cifar10`, with a `RandomWindow` behind the whitening: each image is moved by up to
4 pixels on each axis, and every other one mirrored, anew in each epoch.

Differs from the paper: it may. The paper doesn't say by how much images are moved, and the authors'
files have no augmentation. This is maxout's, to whose settings the paper keeps elsewhere; the
number of epochs is that of the recipe without augmentation.
"""

from tfcnns import models
from tfcnns.layers import RandomWindow
from tfcnns.recipes import nin_cifar10 as base

PAPER = {
    "paper": "Network in Network (Lin 2013)",
    "table": "1",
    "number": "8.81 % test error",
    "parameters": 966_986,
}

data, view, compile = base.data, base.view, base.compile


def config():
    return {**base.config(), "pad": 4}  # shift of training images, pixels each way


def model(config):
    window = RandomWindow(config["pad"], seed=config["seed"], name="window")
    return models.nin_cifar10(
        **base.net(config), preprocessing=[*base.preprocessing(config), window]
    )
