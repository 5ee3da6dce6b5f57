"""AlexNet on ImageNet, and the nets that its paper compares it with.

Paper: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks" (2012), table 2: "1 CNN", 40.7 % top-1 and 18.2 % top-5 error on ILSVRC-2012's
    validation images, averaged over ten crops.
Command: python -m tfcnns.train --recipe=alexnet_imagenet --data_dir=DATA --out=runs/alexnet
Cost: 60,965,224 parameters, 90 epochs of 9,931 steps; about 5 weeks on 2 CPU cores (5 to 6 days
    on the authors' two GTX 580).
Expected: 40.7 % top-1, 18.2 % top-5 (`tfcnns.evaluate`). Changes in points, top-1 and top-5:

    --set half=True                  one GPU, half the kernels      + 1.7  + 1.2  section 3.2
    --set lrn=False                  no response normalisation      + 1.4  + 1.2  section 3.3
    --set overlapping_pool=False     pools of 2x2                   + 0.4  + 0.3  section 3.4
    --set lighting=none              no colour noise                over + 1      section 4.1
    --set views=center               one crop (evaluation only)     + 1.5  + 1.3  section 6
    --set "drop=('conv3',)"          or conv4, conv5                about + 2     section 7
    --set dropout=0                  "substantial overfitting"                    section 4.2

`half` and `views` were measured on ILSVRC-2010, whose test errors are 37.5 and 17.0 %, `lrn` and
`overlapping_pool` on 2012. `activation=tanh` is compared on CIFAR-10 only: see `alexnet_cifar10`.
`towers=1`, the net without the split, is in no table.

Images are scaled to a shorter side of 256; of the middle 256x256, training sees a random crop,
every other one mirrored, with colour noise along the principal components of RGB. The mean image
is subtracted. The rate is divided by ten when `patience` epochs have brought no better validation
error, three times; the fourth stall ends the training. The logs of the authors' net have the cuts
after epochs 25, 51 and 79: `--set "cuts=(25, 51, 79)"`. Dropout multiplies by 0.5 at test.

`--set form=code2012` is the net that their code names 145, whose errors are table 2's: response
normalisation within each tower, with a fifth of the printed alpha and before the first pool and
ReLU, another one within each map, conv3 to conv5 starting three times as large, and biases that
learn at twice the rate. Its colour noise is `--set lighting=code`.

`--set "devices=('/GPU:0', '/GPU:1')"` puts each tower on a device of its own, as the paper does
(docs/placement.md). `--set optimizer=lars --set warmup=5 --batch_size=8192 --learning_rate=10` is
for batches that SGD can't be scaled to (docs/distributed.md); neither is the paper's.

Differs from the paper: 10,009 of the training images are held out for validation, so that the
test images decide nothing (`--set split=train+validation` trains on all; it needs `cuts`). The
mean image and the components are those of 4,096 centre crops spread over the training images, not
of all (`statistics`). Stalls of 5 epochs are a choice: the paper cuts by hand. Colour noise is
added to pixels in [0, 1], the unit in which the printed formula makes sense. Training ends by
itself. From the authors' code: crops are drawn for each image, there for 32 at a time; it stops
training conv1 and switches the noise off about epoch 70, cuts the rates of weights but not of
biases, and divides noisy images by 1.1.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from tfcnns import models
from tfcnns.errors import UserError
from tfcnns.layers import MeanImage, PCALighting
from tfcnns.pipelines import jpeg, transforms
from tfcnns.pipelines.batches import split_batches, steps_per_epoch
from tfcnns.pipelines.crops import ten_crops
from tfcnns.pipelines.datasets import open_dataset
from tfcnns.pipelines.imagenet_classes import imagenet_class_names
from tfcnns.training.lars import LARS
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import WarmUp, stepped
from tfcnns.training.settings import check_counts, check_range
from tfcnns.training.top_k import top5_accuracy
from tfcnns.training.watching import DivideOnPlateau

PAPER = {
    "paper": "AlexNet (Krizhevsky 2012)",
    "table": "2",
    "number": "40.7 % top-1, 18.2 % top-5 error, ten crops",
    "parameters": 60_965_224,
}


def config():
    return {
        "epochs": 90,
        "batch_size": 128,
        "learning_rate": 0.01,
        "optimizer": "sgd",  # or "lars", whose rate is some 1,000 times that of "sgd"
        "warmup": 0,  # epochs in which the rate rises from 0
        "cuts": (),  # epochs after which the rate is divided by ten; (): when validation stalls
        "patience": 5,  # epochs without a better `monitor` that are a stall
        "monitor": "val_accuracy",
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "seed": 0,
        "data": "imagenet2012",  # or folder:PATH, records:PATH; digits are scaled up
        "data_dir": None,
        "download": False,
        "split": "train",  # what is trained on
        "limit": None,  # use only so many training images
        "statistics": 4096,  # training images that mean and principal components are taken from
        "classes": 1000,
        "class_names": imagenet_class_names(),
        "size": 224,  # of the crops, pixels; 227 sees no zeros at the edge
        "short_side": 256,  # of the image that crops are cut from, pixels
        "views": "ten",  # of a test image: "ten" crops, or "center"
        "lighting": "paper",  # colour noise: "paper", "code" or "none"
        "form": "paper",  # of the net: "paper" or "code2012"
        "towers": 2,
        "devices": None,  # for each tower one, such as ("/GPU:0", "/GPU:1")
        "half": False,
        "activation": "relu",
        "lrn": True,
        "overlapping_pool": True,
        "drop": (),
        "dropout": 0.5,
        "width": 1.0,  # of every layer, for quick tries
        "first_step": 0,
    }


def data(config, split, worker=0, workers=1):
    images = source(config, split)
    if images is None:
        return None
    see = views(config, split)

    def example(index, seed):
        image, label = images.example(index)
        if split != "train":
            return see(image), label
        crop, flip = transforms.split(seed, 2)
        image = jpeg.random_crop(
            image, config["size"], crop, short_side=config["short_side"], square=True
        )
        return transforms.random_flip(image, flip), label

    return stream(example, len(images), config, split, worker, workers)


def view(config):
    return views(config, "test")


def model(config):
    if config["form"] not in ("paper", "code2012"):
        raise UserError(f"form must be paper or code2012. Received: form={config['form']!r}")
    code = config["form"] == "code2012"
    return models.alexnet(
        (config["size"], config["size"], 3),
        config["classes"],
        towers=config["towers"],
        devices=devices(config),
        half=config["half"],
        activation=config["activation"],
        lrn=config["lrn"] and ({"alpha": 2e-5} if code else True),
        lrn_across_towers=not code,
        same_map_norm=config["lrn"] and code,
        order=config["form"],
        initializers=config["form"],
        overlapping_pool=config["overlapping_pool"],
        drop=config["drop"],
        dropout=config["dropout"],
        scale_at_test=True,
        width=config["width"],
        preprocessing=preprocessing(config),
    )


def compile(model, config):
    model.compile(
        optimizer(config),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", top5_accuracy],
    )
    rises = []
    if config["warmup"]:
        steps = steps_per_epoch(len(source(config, "train")), config["batch_size"])
        rises = [WarmUp(config["learning_rate"], config["warmup"] * steps)]
    if config["cuts"]:
        if min(config["cuts"]) <= config["warmup"]:
            raise UserError(f"cuts={config['cuts']}: the first is within warmup={config['warmup']}")
        rate = stepped(config["learning_rate"], config["cuts"], 0.1)
        return [keras.callbacks.LearningRateScheduler(rate), *rises]
    if "validation" in config["split"]:
        raise UserError(f"split={config['split']} holds nothing out that can stall: set cuts")
    stall = DivideOnPlateau(config["monitor"], patience=config["patience"], cuts=3, stop=True)
    return [stall, *rises]


def optimizer(config):
    rate = config["learning_rate"]
    arguments = {"momentum": config["momentum"], "weight_decay": config["weight_decay"]}
    multiplier = 2.0 if config["form"] == "code2012" else 1.0  # of biases
    if config["optimizer"] == "sgd":
        return PaperSGD(rate, multipliers={"bias": multiplier}, **arguments)
    if config["optimizer"] != "lars":
        raise UserError(f"optimizer must be sgd or lars. Received: {config['optimizer']!r}")
    if rate <= 0.01:
        raise UserError(
            f"optimizer=lars multiplies the rate by 0.001 |w| / |g|. Received: learning_rate={rate}"
            "; try 10"
        )
    # No layer here is normalised over the batch: biases stay at rates like those of "sgd".
    return LARS(rate, trust=0.001, multipliers={"bias": 0.001 * multiplier}, **arguments)


def devices(config):
    """The towers' devices, or None."""
    chosen, towers = config["devices"], 1 if config["half"] else config["towers"]
    if chosen is None:
        return None
    if towers == 1:
        raise UserError(f"one tower needs no devices: leave out half, towers or devices={chosen!r}")
    if not isinstance(chosen, tuple) or len(chosen) != towers:
        raise UserError(f"devices must be a tuple of {towers} names. Received: devices={chosen!r}")
    if tf.distribute.has_strategy():
        raise UserError(
            "devices hold a tower each, and a strategy's a whole net each: leave out --strategy "
            f"and --devices, or devices={chosen!r}"
        )
    return chosen


def source(config, split):
    """The images of a split, or None if they are trained on."""
    check_counts(config, "limit", "classes")
    train = split == "train"
    if train:
        split = config["split"]
    elif split == "validation" and "validation" in config["split"]:
        return None
    data_dir, download = config["data_dir"], config["download"]
    images = open_dataset(config["data"], split, data_dir=data_dir, download=download, channels=3)
    if images.classes > config["classes"]:
        raise UserError(f"{config['data']} has {images.classes} classes: set classes")
    return spread(images, config["limit"]) if train and config["limit"] else images


def spread(images, count):
    """A source of at most `count` images, evenly spaced, for those of a folder lie by class."""
    count = min(count, len(images))
    return images.part(np.arange(count) * len(images) // count)


def views(config, split):
    """Function of an image: its centre, (size, size, 3), or for "test" what `views` says."""
    size, short_side = config["size"], config["short_side"]
    check_counts(config, "size", "short_side")
    check_range(config, 1, short_side, "size")
    if config["views"] not in ("ten", "center"):
        raise UserError(f"views must be ten or center. Received: views={config['views']!r}")

    def centre(image):
        return jpeg.center_crop(image, size, short_side=short_side)

    def ten(image):
        square = jpeg.center_crop(image, short_side, short_side=short_side)
        return ten_crops(square, size)  # (10, size, size, 3)

    return ten if split == "test" and config["views"] == "ten" else centre


def stream(example, examples, config, split, worker, workers):
    """Batches of what `example` makes: shuffled and for all epochs in training."""
    size = config["batch_size"]
    if split == "test" and config["views"] == "ten":
        size //= 10  # as many crops at a time as there are in training
    return split_batches(example, examples, config, split, worker, workers, size)


def preprocessing(config):
    """Colour noise and the mean image, taken from centre crops, as layers for pixels 0 to 255."""
    check_range(config, 1, math.inf, "statistics")
    images = spread(source(config, "train"), config["statistics"])

    def centre(image, label):
        return jpeg.center_crop(image, config["size"], short_side=config["short_side"])

    def unit(images):
        return tf.cast(images, tf.float32) / 255

    crops = images.dataset().map(centre, tf.data.AUTOTUNE).batch(64)
    mean = MeanImage(name="mean_image")
    mean.adapt(crops)
    if config["lighting"] == "none":
        return [mean]
    if config["lighting"] not in ("paper", "code"):
        raise UserError(
            f"lighting must be paper, code or none. Received: lighting={config['lighting']!r}"
        )
    # float32 under mixed precision too: bfloat16 would round pixels to whole levels and more.
    settings = {"variant": config["lighting"], "seed": config["seed"], "dtype": "float32"}
    lighting = PCALighting(**settings, name="lighting")
    lighting.adapt(crops.map(unit))
    return [
        keras.layers.Rescaling(1 / 255, name="unit", dtype="float32"),
        lighting,
        keras.layers.Rescaling(255.0, name="levels", dtype="float32"),
        mean,
    ]
