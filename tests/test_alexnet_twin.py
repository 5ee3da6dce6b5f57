"""AlexNet against a net in torch with the same weights, written from the paper's table."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.models import alexnet

torch = pytest.importorskip("torch", reason="needs torch: pip install -e .[peers]")
F = torch.nn.functional

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
SMALL = {"input_shape": (67, 67, 3), "classes": 5, "width": 1 / 16, "classifier_activation": None}


def weights_for_torch(model):
    """Kernel and bias of each layer, the towers side by side, in torch's layout."""
    weights = {}
    for name in LAYERS:
        values = model.get_layer(name).get_weights()
        kernel = np.concatenate(values[::2], -1)
        kernel = kernel.transpose(3, 2, 0, 1) if name.startswith("conv") else kernel.T
        for key, value in (("kernel", kernel), ("bias", np.concatenate(values[1::2]))):
            weights[f"{name} {key}"] = torch.tensor(value.copy(), requires_grad=True)
    return weights


def twin(x, weights, groups=2, k=2.0, alpha=1e-4, within=False, order="paper"):
    """Logits of images x (N, 3, H, W); order and norms as told in the papers."""

    def conv(x, name, **options):
        return F.conv2d(x, weights[f"{name} kernel"], weights[f"{name} bias"], **options)

    def dense(x, name):
        return F.linear(x, weights[f"{name} kernel"], weights[f"{name} bias"])

    def norm(x):
        towers = x.chunk(groups, 1) if within else [x]
        # torch divides alpha by the 5 channels of the window.
        return torch.cat([F.local_response_norm(t, 5, 5 * alpha, 0.75, k) for t in towers], 1)

    def pool(x):
        return F.max_pool2d(x, 3, 2)

    if x.shape[-1] == 224:
        x = F.pad(x, (0, 3, 0, 3))
    if order == "paper":
        x = pool(norm(F.relu(conv(x, "conv1", stride=4))))
        x = pool(norm(F.relu(conv(x, "conv2", padding=2, groups=groups))))
    elif order == "code2012":
        x = F.relu(pool(norm(conv(x, "conv1", stride=4))))
        x = pool(norm(F.relu(conv(x, "conv2", padding=2, groups=groups))))
    else:
        x = norm(pool(F.relu(conv(x, "conv1", stride=4))))
        x = norm(pool(F.relu(conv(x, "conv2", padding=2, groups=groups))))
    x = F.relu(conv(x, "conv3", padding=1))
    x = F.relu(conv(x, "conv4", padding=1, groups=groups))
    x = pool(F.relu(conv(x, "conv5", padding=1, groups=groups)))
    x = x.permute(0, 2, 3, 1).flatten(1)  # Keras flattens channels last
    x = F.relu(dense(x, "fc6"))
    x = F.relu(dense(x, "fc7"))
    return dense(x, "fc8")


def run_twin(x, weights, **options):
    x = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    return x, twin(x, weights, **options)


def worst(ours, theirs):
    """The largest difference, as a fraction of the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def randomize_biases(model):
    rng = np.random.default_rng(2)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(rng.normal(scale=0.3, size=weight.shape))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({}, {}),
        ({"towers": 1}, {"groups": 1}),
        ({"lrn": {"alpha": 0.05, "bias": 1.0}}, {"alpha": 0.05, "k": 1.0}),
        (
            {"lrn": {"alpha": 0.05}, "lrn_across_towers": False, "order": "code2012"},
            {"alpha": 0.05, "within": True, "order": "code2012"},
        ),
        (
            {"lrn": {"alpha": 0.05}, "order": "caffenet"},
            {"alpha": 0.05, "order": "caffenet"},
        ),
        ({"input_shape": (224, 224, 3)}, {}),
    ],
    ids=str,
)
def test_small_net_and_its_gradients(arguments, options):
    keras.utils.set_random_seed(0)
    model = alexnet(**{**SMALL, "initializers": "he_normal", **arguments})
    randomize_biases(model)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, *model.input_shape[1:])).astype("float32")
    upstream = rng.normal(size=(3, 5)).astype("float32")

    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        y = model(images)
    dx, *gradients = tape.gradient(
        y, [images, *model.trainable_variables], output_gradients=upstream
    )
    weights = weights_for_torch(model)
    their_x, their_y = run_twin(x, weights, **options)
    their_y.backward(torch.tensor(upstream))

    # Sums of up to 2,400 products in float32, eight layers deep; at most 1.2e-6 was seen.
    assert worst(y, their_y.detach()) < 1e-5
    assert worst(dx, their_x.grad.permute(0, 2, 3, 1)) < 1e-5
    shared = dict(zip((w.path for w in model.trainable_variables), gradients, strict=True))
    for name in LAYERS:
        for key in ("kernel", "bias"):
            ours = np.concatenate(
                [g for p, g in shared.items() if p.startswith(f"{name}/") and p.endswith(key)], -1
            )
            theirs = weights[f"{name} {key}"].grad.numpy()
            if key == "kernel":
                theirs = theirs.transpose(2, 3, 1, 0) if "conv" in name else theirs.T
            assert worst(ours, theirs) < 1e-5, (name, key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({}, {}),
        ({"half": True}, {"groups": 1}),
        (
            {
                "input_shape": (224, 224, 3),
                "lrn": {"alpha": 2e-5},
                "lrn_across_towers": False,
                "order": "code2012",
                "initializers": "code2012",
            },
            {"alpha": 2e-5, "within": True, "order": "code2012"},
        ),
    ],
    ids=["paper", "half", "code2012"],
)
def test_whole_net(arguments, options):
    keras.utils.set_random_seed(0)
    model = alexnet(classifier_activation=None, **arguments)
    x = np.random.default_rng(1).normal(scale=60, size=(2, *model.input_shape[1:]))
    x = x.astype("float32")  # pixels minus their mean
    with torch.no_grad():
        _, their_y = run_twin(x, weights_for_torch(model), **options)
    assert np.abs(their_y.numpy()).max() > 0.1
    # Sums of up to 9,216 products in float32, eight layers deep; at most 1.4e-6 was seen.
    assert worst(model(x), their_y) < 1e-5
