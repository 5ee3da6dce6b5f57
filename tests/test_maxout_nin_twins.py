"""The maxout and Network in Network nets against torch twins with the same weights.

The twins' tables are written out from the papers and the authors' files, not taken from the models.
"""

import numpy as np
import pytest

from tfcnns.models import (
    maxout,
    maxout_cifar10,
    maxout_cifar100,
    maxout_mnist,
    maxout_mnist_pi,
    maxout_svhn,
    nin,
    nin_cifar10,
    nin_cifar100,
    nin_imagenet,
    nin_mnist,
    nin_svhn,
)

torch = pytest.importorskip("torch", reason="needs torch: pip install -e .[peers]")
functional = torch.nn.functional

# Both sides compute in float32 and add up to 12 layers of up to 6,144 products in another order.
# That costs up to 3e-6 of the largest logit (`pytest -s` prints it); a twin with another
# order of pieces, another pool or another padding is off by more than 1e-2.
TOLERANCE = 2e-5


def maxout_twin(weights, x, convs, dense):
    """convs: (pieces, zeros around the input, pool, its stride); dense: the pieces of each."""
    weights = iter(weights)
    for pieces, pad, pool, stride in convs:
        kernel, bias = next(weights).permute(3, 2, 0, 1), next(weights)
        z = functional.conv2d(x, kernel, padding=pad)
        z = z + (bias.permute(2, 0, 1) if bias.ndim == 3 else bias[:, None, None])
        h = z.unflatten(1, (-1, pieces)).amax(2)
        x = functional.max_pool2d(h, pool, stride, ceil_mode=True)
    x = x.permute(0, 2, 3, 1).flatten(1)
    for pieces in dense:
        x = (x @ next(weights) + next(weights)).unflatten(1, (-1, pieces)).amax(2)
    x = x @ next(weights) + next(weights)
    assert not list(weights)
    return x


def nin_twin(weights, x, convs, pools, fc=False):
    """convs: (stride, padding) of each spatial convolution; pools: "max" or "average"."""
    weights = iter(weights)
    for i, (stride, pad) in enumerate(convs):
        for j in range(3):
            kernel, bias = next(weights).permute(3, 2, 0, 1), next(weights)
            kwargs = {"stride": stride, "padding": pad} if j == 0 else {}
            x = functional.relu(functional.conv2d(x, kernel, bias, **kwargs))
        if i < len(pools) and pools[i] == "max":
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        elif i < len(pools):
            x = functional.avg_pool2d(x, 3, 2, ceil_mode=True, count_include_pad=False)
    x = x.permute(0, 2, 3, 1).flatten(1) @ next(weights) + next(weights) if fc else x.mean((2, 3))
    assert not list(weights)
    return x


def check(model, twin, *table, batch=2):
    """Gives both the same weights and images, and compares logits."""
    rng = np.random.default_rng(0)
    weights = []
    for weight in model.weights:
        *fan_in, _ = weight.shape
        scale = 0.1 if weight.name == "bias" else np.sqrt(2 / np.prod(fan_in))
        weights.append(rng.normal(scale=scale, size=weight.shape).astype("float32"))
    model.set_weights(weights)
    images = rng.normal(size=(batch, *model.input_shape[1:])).astype("float32")
    ours = np.array(model(images))
    x = torch.tensor(images)
    x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
    theirs = twin([torch.tensor(weight) for weight in weights], x, *table).numpy()
    largest = np.abs(theirs).max()
    difference = np.abs(ours - theirs).max() / largest
    print(f"{model.name}: {difference:.1e} of the largest logit, {largest:.3g}")
    assert np.ptp(theirs, axis=0).max() > 0.01 * largest  # images matter
    assert difference < TOLERANCE


LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize("untied_bias", [False, True])
def test_small_maxout(untied_bias):
    convs = [(6, 2, 5, 0, 4, 2, 1.0), (4, 3, 3, 2, 2, 2, 1.0)]
    model = maxout((13, 12, 2), convs, [(9, 5)], 7, untied_bias=untied_bias, **LOGITS)
    check(model, maxout_twin, [(2, 0, 4, 2), (3, 2, 2, 2)], [5])


@pytest.mark.parametrize("top", ["gap", "fc"])
@pytest.mark.parametrize("pool", ["max", "average"])
def test_small_nin(pool, top):
    model = nin(
        (27, 22, 3),
        ((8, 7, 6), (9, 8, 7), (6, 6, 5)),
        (5, 3, 3),
        strides=(2, 1, 1),
        paddings=("valid", "same", "same"),
        pools=("max", pool),
        top=top,
        **LOGITS,
    )
    check(model, nin_twin, [(2, 0), (1, 1), (1, 1)], ["max", pool], top == "fc")


CIFAR = [(2, 4, 4, 2), (2, 3, 4, 2), (2, 3, 2, 2)]
MAXOUT = {
    maxout_mnist_pi: ([], [5, 5]),
    maxout_mnist: ([(2, 0, 4, 2), (2, 3, 4, 2), (4, 3, 2, 2)], []),
    maxout_cifar10: (CIFAR, [5]),
    maxout_cifar100: (CIFAR, [5]),
    maxout_svhn: ([(2, 4, 3, 2), (2, 3, 3, 2), (2, 3, 3, 2)], [5]),
}
FIVES = [(1, 2), (1, 2), (1, 2)]
NIN = {
    nin_cifar10: ([(1, 2), (1, 2), (1, 1)], ["max", "max"]),
    nin_cifar100: ([(1, 2), (1, 2), (1, 1)], ["max", "max"]),
    nin_svhn: (FIVES, ["max", "max"]),
    nin_mnist: (FIVES, ["max", "max"]),
    nin_imagenet: ([(4, 0), (1, 2), (1, 1), (1, 1)], ["max", "max", "max"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("builder", MAXOUT)
def test_whole_maxout_nets(builder):
    check(builder(**LOGITS), maxout_twin, *MAXOUT[builder])


@pytest.mark.slow
@pytest.mark.parametrize("builder", NIN)
def test_whole_nins(builder):
    check(builder(**LOGITS), nin_twin, *NIN[builder])


@pytest.mark.slow
def test_whole_variants():
    convs, _ = NIN[nin_cifar10]
    zoo = nin_cifar10(pool2="average", name="zoo", **LOGITS)
    check(zoo, nin_twin, convs, ["max", "average"])
    fc = nin_cifar10(top="fc", name="fc", **LOGITS)
    check(fc, nin_twin, convs, ["max", "max"], True)
    tied = maxout_mnist(untied_bias=False, name="tied", **LOGITS)
    check(tied, maxout_twin, *MAXOUT[maxout_mnist])
