"""OverFeat's detection on ImageNet's 200 classes.

Paper: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks" (2013), section 5 and
    figure 11: 24.3 % mean average precision on ILSVRC-2013's test images, 19.4 % in the contest.
Command: python -m tfcnns.train --recipe=overfeat_detect_imagenet --data_dir=DATA
    --out=runs/detect --set stage=detector --set from_run=runs/localize
Cost: 141,378,888 parameters, with the regressor 250,444,109; 20 epochs of some 3,570 steps.
Expected: below 24.3 %, on the validation images; those of the test have no public boxes. The
    paper's first 19.4 % came of less training, without context from coarser scales, as here.

The steps are those of the detector's stage of `overfeat_digits`; its docstring has them.
runs/localize is a run of `overfeat_localize_imagenet`, stage regressor: trunk, regressor and the
hidden layers of the classifier come from it. Pieces of 293 pixels, 3x3 windows, come from anywhere
in images at six scales; of the windows without an object the three most offending are trained on.

Differs from the paper: as that recipe does; all layers learn, the regressor too. "A few" negatives
an image are three. Which windows have an object: those with 3/4 of it or more, if its longer side
is .4 to 1.05 windows; that, and which have none, is a choice (`class_targets`): the text has no
rule.
"""

from tfcnns.recipes import overfeat_localize_imagenet as base

PAPER = {
    "paper": "OverFeat (Sermanet 2013)",
    "table": "figure 11",
    "number": "24.3 % mAP, test",
    "parameters": 141_378_888,
}

data, model, compile = base.data, base.model, base.compile
boxes, detector, view, vote = base.boxes, base.detector, base.view, base.vote


def config():
    return {
        **base.config(),
        "epochs": 20,
        "learning_rate": 0.01,
        "data": "imagenet_boxes/det",
        "split": "train+validation",
        "classes": 200,
        "class_names": None,  # those of the prepared data set
        "scales": (245, 281, 317, 389, 425, 461),
        "negatives": 3,
        "window_score": 0.1,
        "least_score": 1.0,
    }
