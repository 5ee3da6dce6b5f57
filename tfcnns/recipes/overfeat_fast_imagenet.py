"""OverFeat's fast net on ImageNet, as a classifier.

Paper: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks" (2013), table 2: 38.57 % top-1 and
    16.39 % top-5 error on ILSVRC-2012's validation images, with 4 scales and fine stride.
Command: python -m tfcnns.train --recipe=overfeat_fast_imagenet --data_dir=DATA --out=runs/fast
Cost: 145,920,872 parameters, 90 epochs of 10,010 steps; 16 GFLOP an image, which is months
    on 2 CPU cores.
Expected: 38.57 % top-1, 16.39 % top-5 (`tfcnns.evaluate`). Other views of the test images, for
    evaluation only:

    --set "scales=(247, 279, 311, 375, 407, 439)"   all six    38.12 %  16.27 %
    --set "scales=(247,)"                           one        39.01 %  16.97 %
    --set views=ten, or center                      crops      in no row of the table

Images are scaled to a shorter side of 256; training sees random crops of one window, from anywhere
in the image, every other one mirrored, so that the net's output is 1x1. Pixels are normalised
with the one mean and deviation of the authors' released nets. The rate is halved after epochs 30,
50, 60, 70 and 80. A test image is seen whole, at every scale and offset, it and its mirror image:
`tfcnns.detection.multiscale_vote`. Validation during training sees the centre.

The start is not the paper's. Gaussian weights of deviation .01 let next to nothing of an image
through, and did not train at the rate .05 on photographs within some hundred steps; He's with a
hundredth of the rate did (docs/overfeat.md, "The start"; nets of an eighth and a quarter of the
width). `--set initializer=None --learning_rate=0.05` is the paper's. `--set split=train` holds
images out of training, whose loss is in the log after each epoch: a flat start shows there.

Differs from the paper: kernels start as He's normal, at a rate of .0005, where the paper has a
Gaussian of deviation .01 and .05. Crops are as large as this net's window, 231, where the text has
221, the accurate net's. "5 random crops (and their horizontal flips)" of each image is read as what
is drawn from, one crop an epoch: as in AlexNet, whose number of epochs this is. If an epoch has all
ten, then `--set epochs=900 --set "halvings=(300, 500, 600, 700, 800)"` comes to the same. Neither
the number of epochs nor the normalisation of pixels is in the text; biases don't decay.
"""

import math

import keras
import tensorflow as tf

from tfcnns import models
from tfcnns.errors import UserError
from tfcnns.pipelines import jpeg, transforms
from tfcnns.pipelines.imagenet_classes import imagenet_class_names
from tfcnns.recipes import alexnet_imagenet as base
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import stepped
from tfcnns.training.settings import check_range
from tfcnns.training.top_k import top5_accuracy

PAPER = {
    "paper": "OverFeat (Sermanet 2013)",
    "table": "2",
    "number": "38.57 % top-1, 16.39 % top-5 error, 4 scales",
    "parameters": 145_920_872,
}


def config():
    return {
        "epochs": 90,
        "batch_size": 128,
        "learning_rate": 0.0005,  # goes with the initializer; the paper's start has 0.05
        "halvings": (30, 50, 60, 70, 80),  # epochs after which the rate is halved
        "momentum": 0.6,
        "weight_decay": 1e-5,
        "dropout": 0.5,
        "seed": 0,
        "data": "imagenet2012",  # or folder:PATH, records:PATH; digits are scaled up
        "data_dir": None,
        "download": False,
        "split": "train+validation",  # of the images meant for training
        "limit": None,  # use only so many training images
        "classes": 1000,
        "class_names": imagenet_class_names(),
        "size": 231,  # of the crops, pixels: the net's window
        "short_side": 256,  # of the image that crops are cut from, pixels
        "views": "scales",  # of a test image: the vote at all `scales`, "ten" crops, or "center"
        "scales": (247, 279, 375, 439),  # short sides, pixels: numbers 1, 2, 4 and 6 of six
        "width": 1.0,  # of every layer, for quick tries
        "initializer": "he_normal",  # of all kernels, one of Keras'; None: the paper's
        "first_step": 0,
    }


def data(config, split, worker=0, workers=1):
    images = base.source(config, split)
    if images is None:
        return None
    see = views(config, split)
    if split == "test" and vote(config):
        config = {**config, "batch_size": 1}  # whole images, each of its own size

    def example(index, seed):
        image, label = images.example(index)
        label = tf.reshape(label, [1, 1])  # of the net's one position
        if split != "train":
            return see(image), label
        crop, flip = transforms.split(seed, 2)
        image = jpeg.random_crop(image, config["size"], crop, short_side=config["short_side"])
        return transforms.random_flip(image, flip), label

    return base.stream(example, len(images), config, split, worker, workers)


def view(config):
    return views(config, "test")


def model(config):
    return overfeat(config, "fast")


def compile(model, config):
    model.compile(
        PaperSGD(
            config["learning_rate"],
            momentum=config["momentum"],
            weight_decay=config["weight_decay"],
        ),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", top5_accuracy],
    )
    rate = stepped(config["learning_rate"], config["halvings"], 0.5)
    return [keras.callbacks.LearningRateScheduler(rate)]


def vote(config):
    """The arguments of `tfcnns.detection.multiscale_vote` on whole test images, or None."""
    return {"scales": config["scales"]} if config["views"] == "scales" else None


def views(config, split):
    """Function of an image: what of it is seen when it is not trained on."""
    if config["views"] not in ("scales", "ten", "center"):
        raise UserError(f"views must be scales, ten or center. Received: views={config['views']!r}")
    if config["views"] != "scales":
        return base.views(config, split)
    check_range(config, config["size"], math.inf, "scales")
    return jpeg.decode if split == "test" else base.views({**config, "views": "center"}, split)


def overfeat(config, variant):
    """The classifier, which takes images of any size from the window up."""
    return models.overfeat(
        variant,
        config["classes"],
        width=config["width"],
        dropout=config["dropout"],
        kernel_initializer=config["initializer"],
        preprocessing=models.overfeat_preprocessing(),
    )
