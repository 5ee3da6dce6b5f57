"""OverFeat's localisation on ImageNet: the accurate net's trunk with a box regressor.

Paper: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks" (2013), section 4: 29.9 %
    top-5 localisation error on ILSVRC-2013's test images, with 4 scales and one regressor.
Command: python -m tfcnns.train --recipe=overfeat_localize_imagenet --data_dir=DATA
    --out=runs/localize --set stage=regressor --set from_run=runs/accurate
Cost: 144,656,488 parameters of the classifier, 109,061,124 of the regressor, which alone is
    trained: 10 epochs of 4,255 steps of 128 pieces.
Expected: 30.0 % top-5 error on the validation images with 4 scales, 31.5 % with two; 44.1 % with a
    regressor for each class (`--set boxes_per_class=True`), which wins nothing (figure 10).

runs/accurate is a run of `overfeat_accurate_imagenet`, whose trunk stays as it is. The steps are
those of `overfeat_digits`; its docstring has them. Pieces of 293 pixels, 3x3 windows, come from
anywhere in images whose short side is one of the table's 1st, 2nd, 4th and 6th scale. A window is
trained on an object of which half or more lies in it: `overlap` and `least`.

Differs from the paper: the text leaves open the optimiser, its rate, the number of epochs and the
sizes of training images: the classifier's optimiser, a tenth of its rate, ten epochs and the above
are choices. Every window sees any offset by and by, where the paper has all at a time. How many
classes are merged (`k`), from which match score on, and the match's form are in
`tfcnns.detection.merge_boxes`; they are unpublished too. Stage classifier, for other data
(`--set data=digit_scenes`), trains on crops about objects.
"""

from tfcnns.pipelines.imagenet_classes import imagenet_class_names
from tfcnns.recipes import overfeat_digits as base

PAPER = {
    "paper": "OverFeat (Sermanet 2013)",
    "table": "figure 9",
    "number": "30.0 % top-5 localisation error, 4 scales",
    "parameters": 144_656_488,
}

data, model, compile = base.data, base.model, base.compile
boxes, detector, view, vote = base.boxes, base.detector, base.view, base.vote


def config():
    return {
        **base.config(),
        "epochs": 10,
        "batch_size": 128,
        "learning_rate": 0.005,
        "optimizer": "sgd",
        "data": "imagenet_boxes/loc",
        "localize_on": None,
        "split": "train+validation",  # of the images meant for training
        "variant": "accurate",
        "classes": 1000,
        "class_names": imagenet_class_names(),
        "channels": 3,
        "size": 293,
        "scales": (245, 281, 389, 461),
        "jitter": 0.0,
        "about": 0.0,
        "dropout": 0.5,
        "sides": (0.0, 1e9),
        "k": 5,
        "window_score": 0.0,
    }
