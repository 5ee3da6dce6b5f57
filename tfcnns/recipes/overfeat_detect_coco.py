"""OverFeat's detection on COCO's 80 classes, which the paper doesn't have.

Paper: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks" (2013), section 5; there on
    ImageNet's 200 classes.
Command: python -m tfcnns.train --recipe=overfeat_detect_coco --data_dir=DATA
    --out=runs/detect --set stage=detector --set from_run=runs/localize
Cost: 140,887,248 parameters, with the regressor 249,952,469; 20 epochs of 925 steps.
Expected: not measured here or published; `tfcnns.evaluate` gives COCO's figures.

The steps are those of the detector's stage of `overfeat_digits`; its docstring has them.
runs/localize is a run of `overfeat_localize_imagenet`, stage regressor: trunk, regressor and the
hidden layers of the classifier come from it. Pieces of 293 pixels, 3x3 windows, come from anywhere
in images at six scales; of the windows without an object the three most offending are trained on.
detections.json has COCO's own category ids, 1 to 90.

Differs from the paper: as that recipe does; all layers learn, the regressor too. "A few" negatives
an image are three. Which windows have an object: those with 3/4 of it or more, if its longer side
is .4 to 1.05 windows; that, and which have none, is a choice (`class_targets`): the text has no
rule. Crowds are neither objects nor background.
"""

from tfcnns.recipes import overfeat_detect_imagenet as base

PAPER = {
    "paper": "OverFeat (Sermanet 2013)",
    "table": "none: the method on other data",
    "number": "",
    "parameters": 140_887_248,
}

data, model, compile = base.data, base.model, base.compile
boxes, detector, view, vote = base.boxes, base.detector, base.view, base.vote

# COCO's classes in the order of its labels, and the ids that its files give them.
COCO = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
]
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
CATEGORY_IDS = tuple(c for c in range(1, 91) if c not in UNUSED)


def config():
    return {
        **base.config(),
        "data": "coco/2017",
        "classes": 80,
        "class_names": tuple(COCO),
        "category_ids": CATEGORY_IDS,
    }
