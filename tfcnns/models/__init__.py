"""The papers' networks as functions that return a `keras.Model`, one file a paper."""

from tfcnns.models.alexnet import alexnet
from tfcnns.models.alexnet_cifar10 import alexnet_cifar10
from tfcnns.models.caffe_weights import caffe_preprocessing, load_caffe_weights
from tfcnns.models.maxout import (
    maxout,
    maxout_cifar10,
    maxout_cifar100,
    maxout_mnist,
    maxout_mnist_pi,
    maxout_svhn,
)
from tfcnns.models.nin import (
    nin,
    nin_cifar10,
    nin_cifar100,
    nin_imagenet,
    nin_mnist,
    nin_svhn,
)
from tfcnns.models.overfeat import overfeat
from tfcnns.models.overfeat_weights import load_overfeat_weights, overfeat_preprocessing

__all__ = [
    "alexnet",
    "alexnet_cifar10",
    "caffe_preprocessing",
    "load_caffe_weights",
    "load_overfeat_weights",
    "maxout",
    "maxout_cifar10",
    "maxout_cifar100",
    "maxout_mnist",
    "maxout_mnist_pi",
    "maxout_svhn",
    "nin",
    "nin_cifar10",
    "nin_cifar100",
    "nin_imagenet",
    "nin_mnist",
    "nin_svhn",
    "overfeat",
    "overfeat_preprocessing",
]
