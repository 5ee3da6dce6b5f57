"""Layers that go from one run's model into another's."""

import keras
import numpy as np
import pytest

from tfcnns.errors import UserError
from tfcnns.models import overfeat
from tfcnns.training.from_run import copy_layers


def net(classes, seed, **options):
    keras.utils.set_random_seed(seed)
    return overfeat("digits", classes, width=0.1, **options)


def test_layers_of_the_same_name_are_copied_and_others_stay():
    source, target = net(10, 0), net(10, 1, head="both")
    before = target.get_layer("regressor").get_weights()
    copied = copy_layers(source, target)
    assert copied == ["conv1", "conv2", "conv3", "conv4", "fc5", "fc6", "fc7"]
    for name in copied:
        pairs = zip(
            source.get_layer(name).get_weights(), target.get_layer(name).get_weights(), strict=True
        )
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
    for a, b in zip(before, target.get_layer("regressor").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_wider_last_layer_keeps_its_first_outputs():
    source, target = net(10, 0), net(11, 1)
    copy_layers(source, target, outputs=("fc7",))
    kernel, bias = target.get_layer("fc7").get_weights()
    given, _ = source.get_layer("fc7").get_weights()
    np.testing.assert_array_equal(kernel[..., :10], given)
    np.testing.assert_array_equal(kernel[..., 10], 0)
    assert bias.shape == (11,)


def test_a_narrower_last_layer_is_for_other_classes():
    source, target = net(10, 0), net(5, 1)
    before = target.get_layer("fc7").get_weights()[0]
    assert "fc7" not in copy_layers(source, target, outputs=("fc7",))
    np.testing.assert_array_equal(target.get_layer("fc7").get_weights()[0], before)


def test_what_does_not_fit_is_named():
    with pytest.raises(UserError, match="layer fc7 of model overfeat_digits has other shapes"):
        copy_layers(net(10, 0), net(11, 1))
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="other")])
    with pytest.raises(UserError, match="no layer in common"):
        copy_layers(other, net(10, 0))
