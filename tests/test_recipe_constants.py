"""The rates, decays, momenta and schedules of the recipes, against the authors' files."""

import keras
import numpy as np
import pytest
from small_recipes import compiled, no_eigenvectors  # noqa: F401

from tfcnns.errors import UserError
from tfcnns.training.schedules import MomentumRamp
from tfcnns.training.watching import StopWhenStalled

pytestmark = pytest.mark.usefixtures("no_eigenvectors")

CONV, LAST = "mlpconv1/conv/", "mlpconv3/cccp2/"
NIN = {  # weight: (rate, L2 decay); converted from epsW, epsB, wc and the coefficient of the loss
    f"{CONV}kernel": (0.1, 1e-4),
    f"{CONV}bias": (0.2, 0),
    f"{LAST}kernel": (0.01, 1e-4),
    f"{LAST}bias": (0.02, 0),
}
NIN_100 = {
    f"{CONV}kernel": (0.02, 5e-4),
    f"{CONV}bias": (0.04, 0),
    f"{LAST}kernel": (0.02, 5e-4),
    f"{LAST}bias": (0.04, 0),
}
NIN_IMAGENET = {  # solver.prototxt and lr_mult of the model zoo
    f"{CONV}kernel": (0.01, 5e-4),
    f"{CONV}bias": (0.02, 0),
    "mlpconv4/cccp2/kernel": (0.01, 5e-4),
    "mlpconv4/cccp2/bias": (0.02, 0),
}
MAXOUT = {  # W_lr_scale and b_lr_scale; there is no decay
    "conv1/kernel": (0.17 * 0.05, 0),
    "conv3/bias": (0.17 * 0.05, 0),
    "fc/kernel": (0.17, 0),
    "softmax/kernel": (0.17, 0),
    "softmax/bias": (0.17, 0),
}
MAXOUT_SVHN = {name: (rate / 0.17 * 0.2, 0) for name, (rate, _) in MAXOUT.items()}
ROWS = {  # recipe: (batch, momentum, {weight: (rate, decay)})
    "nin_cifar10": (128, 0.9, NIN),
    "nin_cifar10_augmented": (128, 0.9, NIN),
    "nin_cifar100": (128, 0.9, NIN_100),
    "nin_svhn": (128, 0.9, NIN),
    "nin_mnist": (128, 0.9, NIN),
    "nin_imagenet": (64, 0.9, NIN_IMAGENET),
    "maxout_mnist_pi": (100, 0.5, {"fc1/kernel": (0.1, 0), "softmax/bias": (0.1, 0)}),
    "maxout_mnist": (128, 0.5, {"conv1/kernel": (0.05, 0), "softmax/bias": (0.05, 0)}),
    "maxout_cifar10": (128, 0.5, MAXOUT),
    "maxout_cifar10_augmented": (128, 0.5, MAXOUT),
    "maxout_cifar100": (128, 0.5, MAXOUT),
    "maxout_svhn": (128, 0.5, MAXOUT_SVHN),
}


@pytest.mark.parametrize("name", ROWS)
def test_rates_decay_and_momentum(name):
    batch, momentum, weights = ROWS[name]
    model, _, config = compiled(name)
    assert config["batch_size"] == batch
    optimizer = model.optimizer
    np.testing.assert_allclose(optimizer.momentum, momentum)
    paths = [weight.path for weight in model.trainable_weights]
    for path, (rate, decay) in weights.items():
        assert path in paths
        found = float(optimizer.learning_rate) * optimizer.multiplier(path)
        np.testing.assert_allclose(found, rate, rtol=1e-6)
        np.testing.assert_allclose(optimizer.decay(path), decay)


def one(callbacks, kind):
    (found,) = [callback for callback in callbacks if isinstance(callback, kind)]
    return found


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("nin_cifar10", {0: 0.1, 199: 0.1, 200: 0.01, 229: 0.01, 230: 0.001, 259: 0.001}),
        ("nin_cifar100", {0: 0.02, 199: 0.02, 200: 0.002, 230: 0.0002}),
        ("nin_svhn", {0: 0.1, 22: 0.1, 23: 0.01, 27: 0.001}),
        # pylearn2's LinearDecayOverEpoch, from its source: already lower in the first epoch
        ("maxout_cifar10", {0: 0.17 - 0.17 * 0.99 / 500, 499: 0.0017, 800: 0.0017}),
        ("maxout_svhn", {0: 0.2 - 0.2 * 0.999 / 250, 249: 0.0002, 300: 0.0002}),
    ],
)
def test_rates_by_epoch(name, rates):
    _, callbacks, _ = compiled(name)
    schedule = one(callbacks, keras.callbacks.LearningRateScheduler).schedule
    for epoch, rate in rates.items():
        np.testing.assert_allclose(schedule(epoch, None), rate, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("maxout_mnist_pi", {0: 0.1, 1000: 0.1 / 1.000004**1000, 10**7: 1e-6}),
        ("maxout_mnist", {0: 0.05, 1000: 0.05 / 1.00004**1000, 10**7: 1e-6}),
        ("nin_imagenet", {199_999: 0.01, 200_000: 0.001, 400_000: 0.0001, 450_000: 0.0001}),
    ],
)
def test_rates_by_update(name, rates):
    model, _, _ = compiled(name)
    for update, rate in rates.items():
        model.optimizer.iterations.assign(update)
        np.testing.assert_allclose(model.optimizer.learning_rate, rate, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "final"),
    [
        ("maxout_mnist_pi", 0.7),
        ("maxout_mnist", 0.7),
        ("maxout_cifar10", 0.6),
        ("maxout_cifar10_augmented", 0.65),
        ("maxout_cifar100", 0.6),
        ("maxout_svhn", 0.6),
    ],
)
def test_momentum_and_patience_of_maxout(name, final):
    _, callbacks, config = compiled(name)
    ramp = one(callbacks, MomentumRamp)
    assert ramp.momentum(0) == 0.5
    np.testing.assert_allclose([ramp.momentum(249), ramp.momentum(400)], final)
    stop = one(callbacks, StopWhenStalled)
    assert (stop.monitor, stop.patience) == ("val_accuracy", 100)
    assert config["monitor"] == "val_accuracy"  # best.weights.h5 goes by it, too


@pytest.mark.parametrize("name", ["nin_cifar10", "nin_cifar100", "nin_svhn", "nin_mnist"])
def test_tops_and_dropout_of_the_papers_comparisons(name):
    names = {}
    for values in ({}, {"top": "fc"}, {"top": "fc_dropout"}, {"dropout": None}):
        model, _, _ = compiled(name, **values)
        names[str(values)] = [layer.name for layer in model.layers]
    plain, fc, fc_dropout, undropped = names.values()
    assert "gap" in plain
    assert {"drop1", "drop2"} < set(plain)
    assert "fc" in fc
    assert {"drop_fc", "fc"} < set(fc_dropout)
    assert not [layer for layer in undropped if layer.startswith(("drop", "scale"))]
    # Dropout is the authors' own, scaled at test, unless Keras' and Caffe's is asked for.
    assert {"scale1", "scale2"} < set(plain)
    assert "scale_fc" in fc_dropout
    model, _, _ = compiled(name, scale_at_test=False)
    assert [layer.name for layer in model.layers] == [n for n in plain if "scale" not in n]
    for activation in ("relu", None):
        model, _, _ = compiled(name, last_activation=activation)
        assert model.get_layer("mlpconv3").last_activation is getattr(
            keras.activations, activation or "linear"
        )


def test_another_initializer_for_all_kernels_of_nin():
    for initializer, first in ((None, 0.001), ("he_normal", (2 / 75) ** 0.5)):
        model, _, _ = compiled("nin_cifar100", initializer=initializer, width=0.5)
        kernel = model.get_layer("mlpconv1").weights[0].numpy()  # of 5 x 5 x 3 inputs
        assert kernel.std() == pytest.approx(first, rel=0.05)  # 7,200 numbers: 0.8 % is one sigma
    for wrong in ({"initializer": "henormal"}, {"last_activation": "rellu"}):
        with pytest.raises(UserError, match=r"must be a name that Keras knows, got (henor|rellu)"):
            compiled("nin_cifar100", **wrong)
