"""Maxout on the permutation invariant MNIST: dense layers only.

Paper: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks" (2013), section 5.1,
    table 1: 0.94 % test error.
Command: python -m tfcnns.train --recipe=maxout_mnist_pi --data_dir=DATA --out=runs/pi1
    and the same with --out=runs/pi2 --set stage=2 --set from_run=runs/pi1
Cost: 1,233,610 parameters, about 343 epochs of 500 steps, then tens of 600; 45 minutes on 2 CPU
    cores at 8,000 images a second.
Expected: 0.94 % test error, 94 digits, after stage 2.

Stage 1 trains on 50,000 digits until 100 epochs have brought no better validation error; the
weights of the best epoch are kept. Stage 2 goes on from them on all 60,000, at the rate and the
momentum that this epoch ended with, until the mean loss of the 10,000 digits of validation is as
low as that of the 50,000 was then. The authors' best epoch was the 243rd: rate 0.0615, momentum
0.694.

Differs from the paper: nothing known, but that stage 2 compares losses without dropout. In the
authors' file both are taken with it, as in training.
"""

import math

import keras

from tfcnns import models
from tfcnns.pipelines.digits import CLASS_NAMES
from tfcnns.recipes import nin_cifar10
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import DecayPerUpdate, MomentumRamp
from tfcnns.training.second_stage import StartFrom, first_run, in_second_stage
from tfcnns.training.watching import StopWhenMatched, StopWhenStalled

PAPER = {
    "paper": "Maxout Networks (Goodfellow 2013)",
    "table": "1",
    "number": "0.94 % test error",
    "parameters": 1_233_610,
}

view = nin_cifar10.view


def config():
    return {
        "stage": 1,
        "from_run": None,  # stage 2: the run of stage 1
        "epochs": 1000,  # at most
        "patience": 100,  # epochs without a better `monitor` that end stage 1
        "monitor": "val_accuracy",
        "batch_size": 100,
        "learning_rate": 0.1,  # stage 2 has that of the first's best epoch, as for the momentum
        "momentum": 0.5,
        "final_momentum": 0.7,  # from epoch 250 on
        "seed": 0,
        "data": "mnist",  # or "digits", scaled to input_shape, to see that all runs
        "data_dir": None,
        "download": False,
        "split": "train",  # what stage 1 is trained on
        "limit": None,  # use only so many training images
        "resize": False,  # whether images of other sizes are scaled and cut to input_shape
        "input_shape": (28, 28, 1),
        "width": 1.0,  # of every layer, for quick tries
        "class_names": CLASS_NAMES,
        "first_step": 0,
    }


def data(config, split, worker=0, workers=1):
    if split == "train" and in_second_stage(config):  # validation is trained on, and watched
        config = {**config, "split": "train+validation"}
    return nin_cifar10.data(config, split, worker, workers)


def model(config):
    return models.maxout_mnist_pi(
        config["input_shape"], width=config["width"], preprocessing=preprocessing()
    )


def compile(model, config):
    rate, momentum, callbacks = stage(config)
    model.compile(
        PaperSGD(DecayPerUpdate(rate, 1.000004, floor=1e-6), momentum),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return callbacks


def preprocessing():
    return [keras.layers.Rescaling(1 / 255, name="scale")]


def stage(config):
    """Rate and momentum that the stage begins with, and its callbacks."""
    rate, momentum = config["learning_rate"], config["momentum"]
    ramp = MomentumRamp(momentum, config["final_momentum"], saturate=250)
    if not in_second_stage(config):
        return rate, momentum, [ramp, StopWhenStalled(config["monitor"], config["patience"])]

    run, best = first_run(config)
    rows = run.history()
    after = rows[min(best["epoch"], len(rows) - 1)]  # the next epoch began as the best one ended
    match = StopWhenMatched(-math.inf)

    def set_target(model):
        seen = nin_cifar10.data({**config, "epochs": 1, "first_step": 0}, "train")
        match.target = model.evaluate(seen, verbose=0, return_dict=True)["loss"]

    callbacks = [StartFrom(run.path / "best.weights.h5", then=set_target), match]
    return after["learning_rate"], ramp.momentum(best["epoch"] - 1), callbacks
