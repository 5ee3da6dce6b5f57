"""Maxout on CIFAR-10, without augmentation.

Paper: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks" (2013), section 5.2,
    table 3: 11.68 % test error.
Command: python -m tfcnns.train --recipe=maxout_cifar10 --data_dir=DATA --out=runs/cifar1
    and the same with --out=runs/cifar2 --set stage=2 --set from_run=runs/cifar1
Cost: 16,247,830 parameters, about 885 epochs of 313 steps, then 785 of 391; 8 days on 2 CPU cores
    at 106 images a second.
Expected: 11.68 % test error after stage 2 (11.62 % when the authors ran it again); 12.01 %
    validation error at the best epoch of stage 1, their 785th.

Stage 1 trains on 40,000 images until 100 epochs have brought no better validation error. Stage 2
begins anew, on all 50,000, for as many epochs as the best one took. To take the authors' word for
that: `--set stage=2 --epochs=785`, with no `from_run`.

Images are contrast normalised to norm 55, then whitened with statistics of all 50,000 training
images in both stages, as in the authors' files. Convolutions learn at a twentieth of the rate.

Differs from the paper: nothing known, but that an epoch's last batch may be smaller than others;
the authors' files leave those images out.
"""

import keras

from tfcnns import models
from tfcnns.recipes import nin_cifar10
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import MomentumRamp, linear_decay
from tfcnns.training.second_stage import StopAfter, first_run, in_second_stage
from tfcnns.training.watching import StopWhenStalled

PAPER = {
    "paper": "Maxout Networks (Goodfellow 2013)",
    "table": "3",
    "number": "11.68 % test error",
    "parameters": 16_247_830,
}

view = nin_cifar10.view


def config():
    return {
        "stage": 1,
        "from_run": None,  # stage 2: the run of stage 1, whose best epoch says how many
        "epochs": 1000,  # at most
        "patience": 100,  # epochs without a better `monitor` that end stage 1
        "monitor": "val_accuracy",
        "batch_size": 128,
        "learning_rate": 0.17,
        "momentum": 0.5,
        "final_momentum": 0.6,  # from epoch 250 on
        "seed": 0,
        "data": "cifar10",  # or "digits", scaled to input_shape, to see that all runs
        "data_dir": None,
        "download": False,
        "split": "train",  # what stage 1 is trained on
        "limit": None,  # use only so many training images
        "resize": False,  # whether images of other sizes are scaled and cut to input_shape
        "input_shape": (32, 32, 3),
        "width": 1.0,  # of every layer, for quick tries
        "class_names": nin_cifar10.CLASS_NAMES,
        "first_step": 0,
    }


def data(config, split, worker=0, workers=1):
    if in_second_stage(config):
        config = {**config, "split": "train+validation"}
    return nin_cifar10.data(config, split, worker, workers)


def model(config):
    return models.maxout_cifar10(
        config["input_shape"],
        width=config["width"],
        preprocessing=nin_cifar10.preprocessing(config),
    )


def compile(model, config):
    model.compile(
        PaperSGD(config["learning_rate"], config["momentum"], multipliers={"conv": 0.05}),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    rate = linear_decay(config["learning_rate"], 0.01, saturate=500)
    callbacks = [
        keras.callbacks.LearningRateScheduler(rate),
        MomentumRamp(config["momentum"], config["final_momentum"], saturate=250),
    ]
    if not in_second_stage(config):
        callbacks.append(StopWhenStalled(config["monitor"], config["patience"]))
    elif config["from_run"]:
        _, best = first_run(config)
        callbacks.append(StopAfter(best["epoch"]))
    return callbacks
