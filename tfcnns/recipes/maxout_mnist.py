"""Convolutional maxout on MNIST, without augmentation.

Paper: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks" (2013), section 5.1,
    table 2: 0.45 % test error.
Command: python -m tfcnns.train --recipe=maxout_mnist --data_dir=DATA --out=runs/mnist1
    and the same with --out=runs/mnist2 --set stage=2 --set from_run=runs/mnist1
Cost: 471,994 parameters, hundreds of epochs of 391 steps, then tens of 469; a minute an epoch on
    2 CPU cores at 1,000 images a second.
Expected: 0.45 % test error, 45 digits, after stage 2.

Both stages are those of `maxout_mnist_pi`, with this net's rate and batch; in stage 2 the rate
stays what it was at the best epoch of stage 1.

Differs from the paper: nothing known. The authors' file for stage 2, as it is now, trains without
dropout; that is taken for a slip of a later change to their library, and both stages have it here.
"""

from tfcnns import models
from tfcnns.recipes import maxout_mnist_pi as base
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import DecayPerUpdate
from tfcnns.training.second_stage import in_second_stage

PAPER = {
    "paper": "Maxout Networks (Goodfellow 2013)",
    "table": "2",
    "number": "0.45 % test error",
    "parameters": 471_994,
}

data, view = base.data, base.view


def config():
    return {**base.config(), "batch_size": 128, "learning_rate": 0.05}


def model(config):
    return models.maxout_mnist(
        config["input_shape"], width=config["width"], preprocessing=base.preprocessing()
    )


def compile(model, config):
    rate, momentum, callbacks = base.stage(config)
    if not in_second_stage(config):
        rate = DecayPerUpdate(rate, 1.00004, floor=1e-6)
    model.compile(
        PaperSGD(rate, momentum), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return callbacks
