"""The Network in Network builder against the literal numbers of the authors' nets."""

import keras
import numpy as np
import pytest

from tfcnns.models import nin

CIFAR = {
    "input_shape": (32, 32, 3),
    "mlpconvs": ((192, 160, 96), (192, 192, 192), (192, 192, 10)),
    "kernel_sizes": (5, 5, 3),
}


def test_the_papers_cifar10_net():
    model = nin(**CIFAR)
    assert model.count_params() == 966_986
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes == {
        "image": (32, 32, 3),
        "mlpconv1": (32, 32, 96),
        "pool1": (16, 16, 96),
        "drop1": (16, 16, 96),
        "mlpconv2": (16, 16, 192),
        "pool2": (8, 8, 192),
        "drop2": (8, 8, 192),
        "mlpconv3": (8, 8, 10),
        "gap": (10,),
        "classifier": (10,),
    }


def test_class_scores_are_means_of_rectified_maps():
    keras.utils.set_random_seed(0)
    model = nin((8, 8, 1), ((4, 3), (4, 5)), (3, 3), classifier_activation=None)
    x = np.random.RandomState(0).rand(2, 8, 8, 1).astype("float32")
    maps = keras.Model(model.input, model.get_layer("mlpconv2").output)(x)
    assert np.min(maps) == 0  # the authors' ReLU on the class maps
    np.testing.assert_allclose(model(x), np.mean(maps, (1, 2)), rtol=1e-6)
    linear = nin((8, 8, 1), ((4, 3), (4, 5)), (3, 3), last_activation=None)
    linear.set_weights(model.get_weights())
    maps = keras.Model(linear.input, linear.get_layer("mlpconv2").output)(x)
    assert np.min(maps) < 0


def test_probabilities_any_size_and_preprocessing_inside():
    scale = keras.layers.Rescaling(1 / 255)
    model = nin((None, None, 1), ((4, 3), (4, 5)), (3, 3), preprocessing=[scale])
    plain = nin((None, None, 1), ((4, 3), (4, 5)), (3, 3))
    plain.set_weights(model.get_weights())
    for size in (7, 12):
        x = np.random.RandomState(0).randint(0, 256, (3, size, size, 1)).astype("float32")
        out = model.predict_on_batch(x)
        np.testing.assert_allclose(out.sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(out, plain.predict_on_batch(x / 255), rtol=1e-4)


def test_stages_have_initialisers_of_their_own():
    first, second = keras.initializers.Constant(0.5), keras.initializers.Zeros()
    model = nin((8, 8, 1), ((4, 3), (4, 5)), (3, 3), kernel_initializer=(first, second))
    assert np.all(model.get_layer("mlpconv1").weights[0] == 0.5)
    assert np.all(model.get_layer("mlpconv2").weights[0] == 0)


def test_a_stage_without_a_kernel_size_is_named():
    with pytest.raises(ValueError, match=r"kernel size for every mlpconv.*kernel_sizes=\(3,\)"):
        nin((8, 8, 1), ((4, 3), (4, 5)), (3,))
