"""OverFeat against torch, with weights that go from torch into a file and from there into ours."""

import numpy as np
import pytest

from tfcnns.models import load_overfeat_weights, overfeat, overfeat_preprocessing

torch = pytest.importorskip("torch", reason="needs torch: pip install -e .[peers]")
nn = torch.nn


def twin(variant, width, classes):
    """The nets of jhjin/overfeat-torch, run.lua, in torch's terms of today."""

    def n(units):
        return max(1, round(width * units))

    def rectified(*conv, pad=0):
        zeros = [nn.ZeroPad2d(pad)] if pad else []
        return [*zeros, nn.Conv2d(*conv), nn.Threshold(0, 1e-6)]

    if variant == "fast":
        layers = [
            *rectified(3, n(96), 11, 4),
            nn.MaxPool2d(2, 2),
            *rectified(n(96), n(256), 5),
            nn.MaxPool2d(2, 2),
            *rectified(n(256), n(512), 3, pad=1),
            *rectified(n(512), n(1024), 3, pad=1),
            *rectified(n(1024), n(1024), 3, pad=1),
            nn.MaxPool2d(2, 2),
            *rectified(n(1024), n(3072), 6),
            *rectified(n(3072), n(4096), 1),
        ]
    else:
        layers = [
            *rectified(3, n(96), 7, 2),
            nn.MaxPool2d(3, 3),
            *rectified(n(96), n(256), 7),
            nn.MaxPool2d(2, 2),
            *rectified(n(256), n(512), 3, pad=1),
            *rectified(n(512), n(512), 3, pad=1),
            *rectified(n(512), n(1024), 3, pad=1),
            *rectified(n(1024), n(1024), 3, pad=1),
            nn.MaxPool2d(3, 3),
            *rectified(n(1024), n(4096), 5),
            *rectified(n(4096), n(4096), 1),
        ]
    torch.manual_seed(0)
    net = nn.Sequential(*layers, nn.Conv2d(n(4096), classes, 1))
    for module in net:
        if isinstance(module, nn.Conv2d):  # large enough for the scores to differ
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
    return net.eval().requires_grad_(False)


def write(path, net):
    """Weights, then biases, of each layer in order: torch's parameters are in that order."""
    with open(path, "wb") as file:
        for parameter in net.parameters():
            file.write(parameter.numpy().astype("<f4").tobytes())


def compare(path, variant, size, width=1.0, classes=1000):
    """Largest difference of the scores before softmax, over their deviation."""
    net = twin(variant, width, classes)
    write(path, net)
    model = overfeat(
        variant,
        classes,
        width=width,
        classifier_activation=None,
        activation="threshold",
        preprocessing=overfeat_preprocessing(),
        kernel_initializer="zeros",
    )
    load_overfeat_weights(model, path)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype("float32")
    theirs = net(torch.tensor((pixels - 118.380948) / 61.896913).float().permute(0, 3, 1, 2))
    theirs = theirs.permute(0, 2, 3, 1).numpy()
    ours = model.predict_on_batch(pixels)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / theirs.std()


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("fast", (231, 231)),
        ("fast", (247, 300)),
        ("accurate", (221, 221)),
        ("accurate", (245, 281)),
    ],
)
def test_narrow_nets(tmp_path, variant, size):
    assert compare(tmp_path / "weights", variant, size, width=0.03, classes=7) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("fast", (231, 231)),
        ("fast", (263, 263)),
        ("accurate", (221, 221)),
        ("accurate", (257, 257)),
    ],
)
def test_whole_nets(tmp_path, variant, size):
    difference = compare(tmp_path / "weights", variant, size)
    print(f"{variant} {size}: {difference:.1e}")
    assert difference < 1e-4
