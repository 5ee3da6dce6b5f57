"""Maxout on CIFAR-10 with shifts and mirror images.

Paper: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks" (2013), section 5.2,
    table 3: 9.38 % test error with translations and horizontal reflections.
Command: python -m tfcnns.train --recipe=maxout_cifar10_augmented --data_dir=DATA --out=runs/aug1
    and the same with --out=runs/aug2 --set stage=2 --set from_run=runs/aug1
Cost: 16,247,830 parameters, about 574 epochs of 313 steps, then 474 of 391; 5 days on 2 CPU cores
    at 106 images a second.
Expected: 9.38 % test error after stage 2 (9.45 % when the authors ran it again); 9.45 % validation
    error at the best epoch of stage 1, their 474th.

The recipe `maxout_cifar10` with a final momentum of .65 and a `RandomWindow` behind the whitening:
each image is moved by up to 4 pixels on each axis, and every other one mirrored, anew in each
epoch. The authors' word for stage 2: `--set stage=2 --epochs=474`, with no `from_run`.

Differs from the paper: as `maxout_cifar10`. (The authors' files of November 2013 to May 2015 move
images by up to 8 pixels, a slip that they have corrected.)
"""

from tfcnns import models
from tfcnns.layers import RandomWindow
from tfcnns.recipes import maxout_cifar10 as base
from tfcnns.recipes import nin_cifar10

PAPER = {
    "paper": "Maxout Networks (Goodfellow 2013)",
    "table": "3",
    "number": "9.38 % test error",
    "parameters": 16_247_830,
}

data, view, compile = base.data, base.view, base.compile


def config():
    return {
        **base.config(),
        "final_momentum": 0.65,
        "pad": 4,  # shift of training images, pixels each way
    }


def model(config):
    window = RandomWindow(config["pad"], seed=config["seed"], name="window")
    return models.maxout_cifar10(
        config["input_shape"],
        width=config["width"],
        preprocessing=[*nin_cifar10.preprocessing(config), window],
    )
