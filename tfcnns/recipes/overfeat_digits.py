"""All of OverFeat at a small scale: classify, localise and detect real digits in scenes.

Paper: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks" (2013), sections 3 to 5; digit scenes
    are not in the paper, this recipe is its method where anyone can train it.
Command: python -m tfcnns.train --recipe=overfeat_digits --out=runs/classifier
    python -m tfcnns.train --recipe=overfeat_digits --out=runs/regressor
        --set stage=regressor --set from_run=runs/classifier --epochs=4
    python -m tfcnns.train --recipe=overfeat_digits --out=runs/detector
        --set stage=detector --set from_run=runs/regressor --epochs=16
    python -m tfcnns.evaluate --run=runs/detector
Cost: some 260 s of processor time for all three stages, start included; 286,282 parameters, with
    the regressor 541,134.
Expected: the detector's mean average precision at IoU .5 is 93.8 %, its localisation error (one
    digit a scene, five guesses) 1.6 %, means over three seeds on 500 test scenes; the regressor's
    run alone, which knows no background, 25.2 % (seed 0). docs/overfeat.md has more.

The scenes (`tfcnns.pipelines.digit_scenes`) show 1 to 6 real digits of 12 to 60 pixels on pieces
of photographs, between letters, signs and digits on their sides. The three stages:

    classifier  crops of one window about a digit, as section 3 trains on crops of its images
    regressor   its trunk, fixed, with the box regressor on top (section 4): pieces of scenes at
                all scales, all windows of a piece that overlap a digit enough, l2 loss
    detector    both heads, the classifier with background as the last class (section 5): pieces
                of scenes at all scales, all windows with a digit, `negatives` without per piece

Pieces of `size` pixels begin anywhere in the scaled scene, so that the windows of a step lie at
any offset, and those of many steps at all of them. Of 10 pieces 7 (`about`) are taken so that a
digit in them has a size that counts.

Detection looks at six scales and merges boxes whose windows have a class output of `window_score`
or more; merged boxes are averages of all boxes that went into them (`weighted`), which is one
reading of the paper's average and by far the better one here.

Differs from the paper: in the last stage all layers learn, the regressor with them, for a trunk
that has seen digits alone must learn what is none. Windows that show a digit as a speck, or a
part of one too large, train neither head (`sides`, `positive_sides`): the six scales leave them to
each other. Scales vary by `jitter` in training. The optimiser is Adam, its rate falls by a cosine.
"""

import math

import keras
import tensorflow as tf

from tfcnns import models
from tfcnns.detection import geometry
from tfcnns.detection.box_loss import BoxIoU, BoxLoss
from tfcnns.detection.negatives import MinedCrossentropy, MinedNegatives, ObjectAccuracy
from tfcnns.detection.pieces import training_piece
from tfcnns.errors import UserError
from tfcnns.pipelines import digits, jpeg, scene_views
from tfcnns.pipelines.batches import split_batches
from tfcnns.pipelines.box_datasets import open_boxes
from tfcnns.training.from_run import StartFromRun, earlier_run
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.settings import check_choice, check_counts, check_pairs, check_range

PAPER = {
    "paper": "OverFeat (Sermanet 2013)",
    "table": "none: the method on small real data",
    "number": "",
    "parameters": 286_282,
}

STAGES = {"classifier": (), "regressor": ("classifier",), "detector": ("classifier", "regressor")}


def config():
    return {
        "stage": "classifier",  # then "regressor", then "detector"
        "from_run": None,  # the run of the stage before
        "epochs": 8,
        "batch_size": 32,
        "learning_rate": 0.002,
        "optimizer": "adam",  # or "sgd", as the paper's classifier
        "seed": 0,
        "data": "digit_scenes",
        "localize_on": "digit_scenes/single",  # a regressor's run is evaluated on it
        "data_dir": None,
        "download": False,
        "split": "train",  # what is trained on
        "limit": None,  # use only so many training images
        "test_limit": None,  # and only so many of those that are evaluated on
        "variant": "digits",
        "classes": 10,
        "class_names": digits.CLASS_NAMES,
        "channels": 1,
        "size": 68,  # of the pieces that the last two stages see, pixels
        "scales": (36, 52, 76, 108, 148, 204),  # short sides of scenes, pixels
        "jitter": 0.15,  # training scales are larger or smaller by up to this part
        "about": 0.7,  # of pieces that show an object at a size that counts; others are anywhere
        "dropout": 0.2,
        "width": 1.0,  # of every layer, for quick tries
        "initializer": None,  # of all kernels, one of Keras'; None: the variant's own
        "boxes_per_class": False,
        "fill": (0.45, 0.95),  # of a crop's side that its digit's longer side takes
        "shift": 0.2,  # of a crop's side that its digit is off the middle, at most
        "overlap": "object",  # or "iou": how the regressor's 50 % are meant
        "least": 0.5,  # smallest overlap of windows that train the regressor
        "sides": (0.3, 1.1),  # of windows that objects' longer sides are, for the regressor
        "positive": 0.75,  # smallest overlap of windows that are of an object's class
        "positive_sides": (0.4, 1.05),
        "near_sides": (0.25, 1.5),  # a window with half of such an object isn't background
        "negatives": 10,  # windows of background that a piece is trained on, at most
        "choose": "hardest",  # of them; or "random"
        "k": 10,  # classes at each scale whose boxes are merged
        "window_score": 0.5,  # smallest class output of a window whose box is merged
        "match": 0.7,  # largest match score that merges two boxes
        "weighted": True,  # merged boxes are averages of all their boxes
        "least_score": 6.0,  # of merged boxes that are drawn: the sum of their windows' outputs
        "first_step": 0,
    }


def data(config, split, worker=0, workers=1):
    train = split == "train"
    if train and stage(config) != "classifier":
        earlier_run(config, STAGES[config["stage"]])  # now, before a run is made
    images = source(config, split)
    if images is None:
        return None
    make = crops(config, split) if config["stage"] == "classifier" else pieces(config)

    def example(index, seed):
        image, boxes, labels, *crowd = images.example(index)
        return make(jpeg.decode(image), boxes, labels, seed, *crowd)

    return split_batches(example, len(images), config, split, worker, workers)


def model(config):
    detects = stage(config) == "detector"
    net = models.overfeat(
        config["variant"],
        config["classes"] + detects,
        head="classifier" if config["stage"] == "classifier" else "both",
        input_shape=(None, None, config["channels"]),
        width=config["width"],
        dropout=config["dropout"],
        boxes_per_class=config["boxes_per_class"],
        kernel_initializer=config["initializer"],
        preprocessing=models.overfeat_preprocessing(),
    )
    if config["stage"] == "regressor":
        for layer in net.layers:
            layer.trainable = layer.name == "regressor"
    return net


def compile(model, config):
    background = config["classes"]
    classes = MinedCrossentropy(background, config["negatives"], config["choose"], config["seed"])
    loss, metrics = {
        # The crop of an image without an object has the label -1.
        "classifier": (
            keras.losses.SparseCategoricalCrossentropy(ignore_class=scene_views.EMPTY),
            ["accuracy"],
        ),
        # The classifier is not trained then; how good it is in these windows is shown.
        "regressor": (
            {"boxes": BoxLoss(), "classifier": None},
            {"boxes": [BoxIoU()], "classifier": [ObjectAccuracy(background)]},
        ),
        "detector": (
            {"boxes": BoxLoss(), "classifier": classes},
            {
                "boxes": [BoxIoU()],
                "classifier": [
                    ObjectAccuracy(background),
                    MinedNegatives(background, config["negatives"]),
                ],
            },
        ),
    }[stage(config)]
    model.compile(optimizer(config), loss=loss, metrics=metrics)

    def rate(epoch, _):
        return config["learning_rate"] * (1 + math.cos(math.pi * epoch / config["epochs"])) / 2

    callbacks = [keras.callbacks.LearningRateScheduler(rate)]
    if config["stage"] == "classifier":
        return callbacks
    # The detector's last layer has one class more than the classifier's, or other classes.
    last = [layer.name for layer in model.layers if layer.name.startswith("fc")][-1:]
    return [StartFromRun(config["from_run"], outputs=last), *callbacks]


def view(config):
    """What a run says about an image as one: of its whole, as large as a digit in a crop of the
    first stage, or by the vote of all windows of the others."""
    channels = config["channels"]
    if stage(config) != "classifier":
        return lambda image: jpeg.decode(image, channels)
    crop = crops(config, "test")

    def whole(image):
        image = jpeg.decode(image, channels)
        return crop(image, tf.zeros([0, 4]), tf.zeros([0], tf.int64), None)[0]

    return whole


def vote(config):
    """The arguments of `tfcnns.detection.multiscale_vote` for the run; None for the first stage."""
    if stage(config) == "classifier":
        return None
    return {"scales": config["scales"], "flip": False}


def boxes(config, split):
    """The images that a run of the last two stages is evaluated on, whole; None for the first."""
    if stage(config) == "classifier":
        return None
    return source(config, split, whole=True)


def detector(config):
    """The arguments of `tfcnns.detection.detect` for the run's model; None for the first stage."""
    if stage(config) == "classifier":
        return None
    detects = config["stage"] == "detector"
    return {
        "scales": config["scales"],
        "k": config["k"],
        "background": detects,
        # To localise is to guess classes, each with one box.
        "per_class": None if detects else 1,
        "window_score": config["window_score"],
        "threshold": config["match"],
        "weighted": config["weighted"],
    }


def stage(config):
    """The stage, checked."""
    if config["stage"] not in STAGES:
        raise UserError(f"stage must be one of {', '.join(STAGES)}. Received: {config['stage']}")
    return config["stage"]


def source(config, split, whole=False):
    """The images of a split with boxes, or None if they are trained on."""
    check_counts(config, "limit", "test_limit", "classes", "size", "negatives", "k")
    check_range(config, 0, 1, "jitter", "about", "shift", "least", "positive", "match")
    check_range(config, 0, math.inf, "least_score", "window_score")
    check_range(config, 1, math.inf, "scales")
    check_pairs(config, 0, math.inf, "sides", "positive_sides", "near_sides")
    check_pairs(config, 0.01, 1, "fill")
    check_choice(config, "overlap", ("object", "iou"))
    check_choice(config, "choose", ("hardest", "random"))
    check_choice(config, "optimizer", ("adam", "sgd"))
    train = split == "train"
    name = config["data"]
    if whole and config["stage"] == "regressor":
        name = config["localize_on"] or name
    if train:
        split = config["split"]
    elif split == "validation" and "validation" in config["split"]:
        return None
    options = {"channels": config["channels"]} if name.startswith("digit_scenes") else {}
    if name.startswith(("voc", "coco")):
        options["crowds"] = True  # neither right nor wrong, neither object nor background
    images = open_boxes(
        name,
        split,
        data_dir=config["data_dir"],
        download=config["download"],
        examples=config["limit"] if train else config["test_limit"],
        **options,
    )
    if images.classes > config["classes"]:
        raise UserError(f"{name} has {images.classes} classes: set classes")
    return images


def crops(config, split):
    """Function of image, boxes, labels, seed, crowd: a crop of one window and its label, (1, 1)."""
    window = geometry(model({**config, "stage": "classifier", "width": 0.01})).window
    train = split == "train"

    def crop(image, boxes, labels, seed, crowd=None):
        image, label = scene_views.object_view(
            image,
            boxes,
            scene_views.objects_alone(labels, crowd),
            window,
            seed if train else None,
            fill=config["fill"],
            shift=config["shift"],
        )
        return image, label[None, None]

    return crop


def pieces(config):
    """Function of image, boxes, labels, seed, crowd: a piece and its windows' targets."""
    how = ("size", "scales", "jitter", "about", "overlap", "least", "sides", "positive")
    return training_piece(
        model({**config, "width": 0.01}),
        background=config["classes"] if config["stage"] == "detector" else None,
        **{name: config[name] for name in (*how, "positive_sides", "near_sides")},
    )


def optimizer(config):
    rate = config["learning_rate"]
    if config["optimizer"] == "sgd":
        return PaperSGD(rate, momentum=0.6, weight_decay=1e-5)
    if config["optimizer"] != "adam":
        raise UserError(f"optimizer must be adam or sgd. Received: {config['optimizer']}")
    return keras.optimizers.Adam(rate)
