"""Network in Network on ImageNet: the authors' net in the Caffe model zoo.

Paper: none. Lin's "4 layer NIN", Caffe model zoo (2014): 59.36 % top-1 accuracy on ILSVRC-2012's
    validation images, from one view.
Command: python -m tfcnns.train --recipe=nin_imagenet --data_dir=DATA --out=runs/nin_imagenet
Cost: 7,595,176 parameters, 23 epochs of 20,019 steps; 5 days on 2 CPU cores at 71 images a second,
    as on the authors' GTX Titan.
Expected: 40.64 % top-1 error on the centre crops of the 50,000 validation images.

Training images are crops of 224x224 out of the middle 256x256, every other one mirrored; the mean
of each colour over ImageNet is subtracted. The rate falls to a tenth after 200,000 updates and
again after 400,000; the zoo's solver ends at 450,000, which is 22.5 epochs.

Differs from the zoo's: images are scaled to a shorter side of 256 and their middle is taken, where
Caffe's data were squeezed into 256x256; and the mean image is constant over each colour, that of
Caffe's mean file. Colours are RGB, in Caffe BGR: a matter of order, as `load_caffe_weights` shows.
"""

import math

from tfcnns import models
from tfcnns.pipelines import jpeg, transforms
from tfcnns.pipelines.batches import split_batches
from tfcnns.pipelines.imagenet_classes import imagenet_class_names
from tfcnns.recipes import nin_cifar10 as base
from tfcnns.training.dead_units import WarnOfDeadUnits
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import StepPerUpdate
from tfcnns.training.settings import check_range

PAPER = {
    "paper": "Network in Network (Lin 2013)",
    "table": "none: Caffe model zoo",
    "number": "40.64 % top-1 error, one view",
    "parameters": 7_595_176,
}


def config():
    return {
        "epochs": 23,
        "batch_size": 64,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "dropout": 0.5,  # once, before the last stage
        "last_activation": "relu",  # of the class maps; linear where all die (loss 6.908)
        "seed": 0,
        "data": "imagenet2012",  # or folder:PATH, records:PATH; digits are scaled up
        "data_dir": None,
        "download": False,
        "split": "train+validation",  # of the images meant for training
        "limit": None,  # use only so many training images
        "classes": 1000,
        "input_shape": (224, 224, 3),
        "short_side": 256,  # of the image that crops are cut from, pixels
        "width": 1.0,  # of every layer, for quick tries
        "class_names": imagenet_class_names(),
        "first_step": 0,
    }


def data(config, split, worker=0, workers=1):
    images = base.source(config, split, size=32)
    if images is None:
        return None
    see, size, short_side = view(config), config["input_shape"][0], config["short_side"]

    def example(index, seed):
        image, label = images.example(index)
        if split != "train":
            return see(image), label
        crop, flip = transforms.split(seed, 2)
        image = jpeg.random_crop(image, size, crop, short_side=short_side, square=True)
        return transforms.random_flip(image, flip), label

    return split_batches(example, len(images), config, split, worker, workers)


def view(config):
    (size, *_), short_side = base.shape(config), config["short_side"]
    check_range(config, size, math.inf, "short_side")
    return lambda image: jpeg.center_crop(image, size, short_side=short_side)


def model(config):
    return models.nin_imagenet(
        config["input_shape"],
        config["classes"],
        width=config["width"],
        dropout=(None, None, config["dropout"]),
        last_activation=config["last_activation"],
        preprocessing=models.caffe_preprocessing(),
    )


def compile(model, config):
    model.compile(
        PaperSGD(
            StepPerUpdate(config["learning_rate"], every=200_000, factor=0.1),
            momentum=config["momentum"],
            weight_decay=config["weight_decay"],
            multipliers={"bias": 2.0},
        ),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    first = {**config, "epochs": 1, "first_step": 0}
    return [WarnOfDeadUnits(lambda: data(first, "train"), advice=base.ADVICE)]
