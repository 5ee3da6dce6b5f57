"""OverFeat's detection on PASCAL VOC 2007, which the paper doesn't have.

Paper: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks" (2013), section 5; there on
    ImageNet's 200 classes.
Command: python -m tfcnns.train --recipe=overfeat_detect_voc --data_dir=DATA
    --out=runs/detect --set stage=detector --set from_run=runs/localize
Cost: 140,641,428 parameters, with the regressor 249,706,649; 40 epochs of 40 steps.
Expected: not measured here or published; `tfcnns.evaluate` gives PASCAL's and COCO's figures.

The steps are those of the detector's stage of `overfeat_digits`; its docstring has them.
runs/localize is a run of `overfeat_localize_imagenet`, stage regressor: trunk, regressor and the
hidden layers of the classifier come from it. Pieces of 293 pixels, 3x3 windows, come from anywhere
in images at six scales; of the windows without an object the three most offending are trained on.
`--set data=voc/2012` has twice the images.

Differs from the paper: as that recipe does; all layers learn, the regressor too. "A few" negatives
an image are three. Which windows have an object: those with 3/4 of it or more, if its longer side
is .4 to 1.05 windows; that, and which have none, is a choice (`class_targets`): the text has no
rule. Objects marked as difficult are neither objects nor background.
"""

from tfcnns.recipes import overfeat_detect_imagenet as base

PAPER = {
    "paper": "OverFeat (Sermanet 2013)",
    "table": "none: the method on other data",
    "number": "",
    "parameters": 140_641_428,
}

data, model, compile = base.data, base.model, base.compile
boxes, detector, view, vote = base.boxes, base.detector, base.view, base.vote

VOC = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]


def config():
    return {
        **base.config(),
        "epochs": 40,
        "data": "voc/2007",
        "classes": 20,
        "class_names": tuple(VOC),
    }
