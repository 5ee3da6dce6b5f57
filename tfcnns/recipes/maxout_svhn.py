"""Maxout on street view house numbers.

Paper: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks" (2013), section 5.4,
    table 5: 2.47 % test error.
Command: python -m tfcnns.train --recipe=maxout_svhn --data_dir=DATA --out=runs/svhn1
    and the same with --out=runs/svhn2 --set stage=2 --set from_run=runs/svhn1
    python -m tfcnns.evaluate --run=runs/svhn2 --weights=best
Cost: 10,461,050 parameters, about 242 epochs of 4,675 steps, then 9; a week on 2 CPU cores at 240
    images a second.
Expected: 2.47 % test error (validation 3.07 %); after stage 1, its best epoch, the authors' 142nd,
    2.50 % (validation 3.08 %).

Both stages train on 598,388 images of "train" and "extra"; the other 6,000 are never trained on
and decide which epoch is the best. Stage 1 ends when 100 epochs have brought no better one. Stage 2
goes on from its weights for 9 more epochs, at a rate of .0086 and a momentum of .9. Contrast is
normalised globally, then locally.

Differs from the paper: nothing known, but that all images are mixed in each epoch. The authors'
files mix the order of batches that stay the same, as their data lie on a disk, and leave out what
fills no batch; and their stage 2 goes on for 100 epochs after its best, which was the 9th.
"""

import keras

from tfcnns import models
from tfcnns.pipelines.digits import CLASS_NAMES
from tfcnns.recipes import maxout_cifar10 as base
from tfcnns.recipes import nin_cifar10, nin_svhn
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import MomentumRamp, linear_decay
from tfcnns.training.second_stage import StartFrom, StopAfter, first_run, in_second_stage
from tfcnns.training.watching import StopWhenStalled

PAPER = {
    "paper": "Maxout Networks (Goodfellow 2013)",
    "table": "5",
    "number": "2.47 % test error",
    "parameters": 10_461_050,
}

data, view = nin_cifar10.data, nin_cifar10.view


def config():
    return {
        **base.config(),
        "learning_rate": 0.2,
        "second_rate": 0.0086,  # of stage 2, as is the next
        "second_momentum": 0.9,
        "second_epochs": 9,
        "data": "svhn_cropped",
        "class_names": CLASS_NAMES,
    }


def model(config):
    return models.maxout_svhn(
        config["input_shape"], width=config["width"], preprocessing=nin_svhn.preprocessing()
    )


def compile(model, config):
    if not in_second_stage(config):
        rate, momentum = config["learning_rate"], config["momentum"]
        callbacks = [
            keras.callbacks.LearningRateScheduler(linear_decay(rate, 0.001, saturate=250)),
            MomentumRamp(momentum, config["final_momentum"], saturate=250),
            StopWhenStalled(config["monitor"], config["patience"]),
        ]
    else:
        rate, momentum = config["second_rate"], config["second_momentum"]
        run, _ = first_run(config)
        callbacks = [StartFrom(run.path / "best.weights.h5"), StopAfter(config["second_epochs"])]
    model.compile(
        PaperSGD(rate, momentum, multipliers={"conv": 0.05}),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return callbacks
