"""OverFeat's accurate net on ImageNet, as a classifier.

Paper: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
    Localization and Detection using Convolutional Networks" (2013), table 2: 35.74 % top-1 and
    14.18 % top-5 error on ILSVRC-2012's validation images, with 4 scales and fine stride.
Command: python -m tfcnns.train --recipe=overfeat_accurate_imagenet --data_dir=DATA
    --out=runs/accurate
Cost: 144,656,488 parameters, 90 epochs of 10,010 steps; 32 GFLOP an image, which is months
    on 2 CPU cores.
Expected: 35.74 % top-1, 14.18 % top-5 (`tfcnns.evaluate`); with `--set views=ten`, the paper's
    "4 corners + center + flip", 35.60 and 14.71 %.

The recipe `overfeat_fast_imagenet`, whose docstring has its steps, with the other net and its
window of 221 pixels.

Differs from the paper: as that recipe does, but for the size of the crops, which is the text's.
That recipe's start and rate were measured with its net, not with this one.
"""

from tfcnns.recipes import overfeat_fast_imagenet as base

PAPER = {
    "paper": "OverFeat (Sermanet 2013)",
    "table": "2",
    "number": "35.74 % top-1, 14.18 % top-5 error, 4 scales",
    "parameters": 144_656_488,
}

data, view, vote, compile = base.data, base.view, base.vote, base.compile


def config():
    return {**base.config(), "size": 221, "scales": (245, 281, 389, 461)}


def model(config):
    return base.overfeat(config, "accurate")
