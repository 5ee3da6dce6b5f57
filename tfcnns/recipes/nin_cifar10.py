"""Network in Network on CIFAR-10, without augmentation.

Paper: Lin, Chen, Yan, "Network in Network" (2013), table 1: 10.41 % test error.
Command: python -m tfcnns.train --recipe=nin_cifar10 --data_dir=DATA --out=runs/nin_cifar10
Cost: 966,986 parameters, 260 epochs of 391 steps; 13 hours on 2 CPU cores at 280 images a second.
Expected: 10.41 % test error. The authors' README has 14 % before the first cut of the learning
    rate, 10.7 % after it, 10.4 % at the end. `--set dropout=None` 14.51 % (section 4.2);
    `--set top=fc` 11.59 %, `--set top=fc_dropout` 10.88 % (section 4.6, table 5).

Images are preprocessed as in maxout, in the model: contrast normalised to norm 55, then whitened
with statistics of all 50,000 training images. Update rule, rates, decay and the two cuts are of
the authors' files and README (cuda-convnet counts the rate with the loss times .1: their 1 is
.1 here, their decay 1e-5 is 1e-4). The paper says "until accuracy stops improving", twice.

A loss that stays at 2.303, the logarithm of 10, means that all class maps are dead: where the ReLU
that the authors' files have on them is zero everywhere, there is no gradient. Users of those files
met it as well. A line says so in the first epochs, also when only some maps are dead. Try another
`--seed`, `--set last_activation=linear`, or, what learns at once but is nobody's published setting,
`--set initializer=he_normal --learning_rate=0.01`.

Dropout is that of the authors' code for these files: units are multiplied by .5 at test. With
`--set scale_at_test=False` they are by 2 in training, as in the authors' later net for Caffe, which
has the same rates and reached 10.4 % too; the class maps then begin four times as large.

All 50,000 are trained on. The paper held the last 10,000 out while choosing kernel sizes and
weight decay, as `--set split=train` does.

Differs from the paper: nothing known. From the authors' code: its order of images is fixed, and
its provider subtracts the mean image in its batches.meta, which is zero for whitened images if the
authors wrote a new one.
"""

import keras

from tfcnns import models
from tfcnns.errors import UserError
from tfcnns.layers import GlobalContrastNormalization, ZCAWhitening
from tfcnns.pipelines import jpeg
from tfcnns.pipelines.batches import split_batches
from tfcnns.pipelines.datasets import open_dataset
from tfcnns.pipelines.sized import sized
from tfcnns.training.dead_units import WarnOfDeadUnits
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import stepped
from tfcnns.training.settings import check_counts

PAPER = {
    "paper": "Network in Network (Lin 2013)",
    "table": "1",
    "number": "10.41 % test error",
    "parameters": 966_986,
}

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

# On dead class maps.
ADVICE = "try another --seed, or --set last_activation=linear"


def config():
    return {
        "epochs": 260,
        "batch_size": 128,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "dropout": 0.5,
        "scale_at_test": True,  # as the authors' code; False: in training, as Keras and Caffe
        "top": "gap",
        "last_activation": "relu",
        "initializer": None,  # of all kernels; None: the authors' normal distributions
        "seed": 0,
        "data": "cifar10",  # or "digits", scaled to input_shape, to see that all runs
        "data_dir": None,
        "download": False,
        "split": "train+validation",  # what is trained on
        "limit": None,  # use only so many training images
        "resize": False,  # whether images of other sizes are scaled and cut to input_shape
        "input_shape": (32, 32, 3),
        "width": 1.0,  # of every layer, for quick tries
        "class_names": CLASS_NAMES,
        "first_step": 0,
    }


def data(config, split, worker=0, workers=1):
    images = source(config, split)
    if images is None:
        return None
    see = view(config)

    def example(index, seed):
        image, label = images.example(index)
        return (image if split == "train" else see(image)), label

    return split_batches(example, len(images), config, split, worker, workers)


def view(config):
    *size, channels = shape(config)
    return lambda image: jpeg.cover(image, size, channels)


def model(config):
    return models.nin_cifar10(**net(config), preprocessing=preprocessing(config))


def compile(model, config):
    # The last layer learns at a tenth of the rate, biases at twice theirs.
    multipliers = {"bias": 2.0, "mlpconv3/cccp2": 0.1}
    return compile_with(model, config, multipliers)


def net(config):
    """The arguments of the models that are settings here."""
    known = {"initializer": keras.initializers.get, "last_activation": keras.activations.get}
    for name, get in known.items():
        try:
            get(config[name])
        except ValueError as error:
            raise UserError(
                f"{name} must be a name that Keras knows, got {config[name]}"
            ) from error
    names = ("input_shape", "width", "dropout", "scale_at_test", "top", "last_activation")
    return {
        **{name: config[name] for name in names},
        "kernel_initializer": config["initializer"],
    }


def shape(config):
    """The input's shape, checked: height, width, channels."""
    sides = config["input_shape"]
    if len(sides) != 3 or min(sides) < 1:
        raise UserError(f"input_shape must be (height, width, channels), got {sides}")
    return sides


def source(config, split, size=None):
    """The images of a split, or None if they are trained on; `size`: of digits, pixels."""
    check_counts(config, "limit")
    height, _, channels = shape(config)
    train = split == "train"
    if train:
        split = config["split"]
    elif split == "validation" and "validation" in config["split"]:
        return None
    images = open_dataset(
        config["data"],
        split,
        data_dir=config["data_dir"],
        download=config["download"],
        size=size or height,
        channels=channels,
    )
    classes = config.get("classes", len(config["class_names"]))
    if images.classes > classes:
        named = "" if "classes" in config else ", as many as class_names"
        raise UserError(
            f"data={config['data']} has {images.classes} classes, the net {classes}{named}"
        )
    if "short_side" not in config:  # or the net crops them
        resize, where = config.get("resize", False), f"data={config['data']}"
        images = sized(images, config["input_shape"], resize, where)
    if train and config["limit"]:
        return images.part(range(min(config["limit"], len(images))))
    return images


def preprocessing(config):
    """Maxout's, as layers: contrast normalised to norm 55, then whitened."""
    contrast = GlobalContrastNormalization(55.0, name="contrast")
    whitening = ZCAWhitening(0.1, name="whitening")
    images = source({**config, "split": "train+validation"}, "train")
    whitening.adapt(contrast(batch) for batch, _ in images.dataset().batch(1000))
    return [contrast, whitening]


def compile_with(model, config, multipliers):
    """Compiles with the paper's update rule; the rate is cut to a tenth twice."""
    model.compile(
        PaperSGD(
            config["learning_rate"],
            momentum=config["momentum"],
            weight_decay=config["weight_decay"],
            multipliers=multipliers,
        ),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # README: after epoch 200 and 230 of 260.
    cuts = [round(config["epochs"] * part) for part in (200 / 260, 230 / 260)]
    return [
        keras.callbacks.LearningRateScheduler(stepped(config["learning_rate"], cuts, 0.1)),
        WarnOfDeadUnits(
            lambda: data({**config, "epochs": 1, "first_step": 0}, "train"), advice=ADVICE
        ),
    ]
