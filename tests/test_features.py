"""Features of image files equal what the layer says of the same arrays."""

import functools
import re

import keras
import numpy as np
import pytest
from PIL import Image
from scripts import call as call_script

from tfcnns import features, models
from tfcnns.pipelines import images, transforms


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    keras.utils.set_random_seed(0)
    net = models.nin((12, 12, 3), ((4, 5), (6, 7)), (3, 3))
    file = tmp_path_factory.mktemp("features") / "net.keras"
    net.save(file)
    return file


@pytest.fixture
def photos(tmp_path):
    files = []
    for i, size in enumerate([(40, 30), (12, 12), (25, 60)]):
        pixels = np.random.RandomState(i).randint(0, 256, (*size[::-1], 3), "uint8")
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(files[-1])
    return files


call = functools.partial(call_script, features)


def test_features_of_files(weights, photos, tmp_path, capsys):
    out = tmp_path / "f.npz"
    flags = [f"--weights={weights}", "--layer=mlpconv1", f"--out={out}", "--batch_size=2"]
    assert call(*flags, *photos) == 0
    assert "mlpconv1 of 3 images, (3, 12, 12, 5) float32" in capsys.readouterr().out
    with np.load(out) as saved:
        found, files = saved["features"], saved["files"]
    assert files.tolist() == [str(file) for file in photos]
    net = keras.saving.load_model(weights)
    tap = keras.Model(net.input, net.get_layer("mlpconv1").output)
    pixels = np.stack([images.read_image(file, 12, 12, 3) for file in photos])
    np.testing.assert_allclose(found, tap.predict_on_batch(pixels), rtol=1e-5)


def test_short_side_is_the_papers_resize_and_centre(weights, photos):
    net = keras.saving.load_model(weights)
    found = features.compute(net, "gap", photos, short_side=16)
    tap = keras.Model(net.input, net.get_layer("gap").output)
    for file, row in zip(photos, found, strict=True):
        whole = np.asarray(Image.open(file))
        crop = transforms.center_crop(transforms.resize_short_side(whole, 16), 12)
        np.testing.assert_allclose(row, tap(crop[None])[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer": "mlpconv9"}, "no layer 'mlpconv9', did you mean 'mlpconv"),
        ({"layer": ""}, "--layer is missing"),
        ({"out": "f.txt"}, "ending in .npz"),
        ({"out": "no/such/f.npz"}, "there is no directory"),
        ({"weights": "no.keras"}, "no file of weights"),
        ({"weights": ""}, "either --run or --weights"),
        ({"run": "runs/x"}, "either --run or --weights"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    weights, photos, tmp_path, monkeypatch, capsys, change, said
):
    monkeypatch.chdir(tmp_path)
    given = {"weights": weights, "layer": "gap", "out": "f.npz", **change}
    assert call(*[f"--{name}={value}" for name, value in given.items() if value], *photos) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("*.npz"))


def test_a_bad_image_is_named_and_the_others_go_on(weights, photos, tmp_path, capsys):
    bad = [tmp_path / "bad.png", tmp_path / "missing.png"]
    bad[0].write_text("x")
    out = tmp_path / "f.npz"
    flags = [f"--weights={weights}", "--layer=gap", "--batch_size=2", f"--out={out}"]
    assert call(*flags, *photos) == 0
    with np.load(out) as saved:
        expected = saved["features"]
    assert call(*flags, photos[0], bad[0], *photos[1:], bad[1]) == 1
    printed, error = capsys.readouterr()
    assert printed.splitlines()[-1].endswith("gap of 3 images, (3, 7) float32")
    assert error.splitlines()[-3:] == [
        "error: 2 of 5 images couldn't be read:", *(f"  {file}" for file in bad)
    ]  # fmt: skip
    with np.load(out) as saved:
        assert saved["files"].tolist() == [str(file) for file in photos]
        np.testing.assert_allclose(saved["features"], expected, rtol=1e-5)
    out.unlink()
    assert call(*flags, *bad) == 1
    assert not out.exists()


def test_answers_are_kept_as_they_come(weights, photos, tmp_path, monkeypatch):
    """A process that is killed leaves at least half of what it had."""
    kept = []
    monkeypatch.setattr(features, "write", lambda path, array, files: kept.append(array.shape))
    flags = [f"--weights={weights}", "--layer=gap", "--batch_size=1", f"--out={tmp_path}/f.npz"]
    assert call(*flags, *photos, *photos) == 0
    assert kept == [(1, 7), (2, 7), (4, 7), (6, 7)]


def test_nothing_that_is_not_its_own_is_replaced(weights, photos, tmp_path, capsys):
    arrays, folder = tmp_path / "arrays.npz", tmp_path / "folder.npz"
    np.savez(arrays, thesis=np.ones(3))
    folder.mkdir()
    before = arrays.read_bytes()
    flags = [f"--weights={weights}", "--layer=gap"]
    for out, said in ((arrays, "something other than features"), (folder, "is a directory")):
        assert call(*flags, f"--out={out}", photos[0]) == 2
        assert said in capsys.readouterr().err
    assert arrays.read_bytes() == before
    link = tmp_path / "link.npz"
    link.symlink_to(photos[0])
    assert call(*flags, f"--out={link}", photos[0]) == 2
    assert "which is read" in capsys.readouterr().err


def test_a_net_that_its_file_does_not_name_is_asked_for(photos, tmp_path, capsys):
    flags = ["--layer=gap", f"--out={tmp_path}/f.npz"]
    blob = tmp_path / "zoo.caffemodel"
    blob.write_bytes(b"\0")
    assert call(f"--weights={blob}", *flags, photos[0]) == 2
    assert "give --model" in capsys.readouterr().err
    assert call(f"--weights={blob}", "--model=nin_cifar10", *flags, photos[0]) == 2
    assert "zoo.caffemodel" in capsys.readouterr().err
    assert not (tmp_path / "f.npz").exists()


@pytest.mark.slow
def test_the_released_fast_net_by_its_file_name(photos, tmp_path):
    """A file of the release's form: 584 MB of random numbers."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 0.01, 145_920_872).astype("<f4")
    (tmp_path / "net_weight_0").write_bytes(numbers.tobytes())
    out = tmp_path / "f.npz"
    assert call(f"--weights={tmp_path}/net_weight_0", "--layer=fc7", f"--out={out}", *photos) == 0
    with np.load(out) as saved:
        assert saved["features"].shape == (3, 1, 1, 4096)
        assert np.isfinite(saved["features"]).all()
        assert saved["features"].min() >= 1e-6  # the release's Threshold


def _lambda():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.Lambda(lambda x: 2 * x, name="mlpconv1")(inputs))


def _two_inputs():
    one, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    return keras.Model([one, other], keras.layers.Add(name="mlpconv1")([one, other]))


def _vectors():
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(2, name="mlpconv1")(inputs))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "is damaged: expected a whole .keras file"),
        ("truncated", "is damaged: expected a whole .keras file"),
        (_lambda, "net.keras can't be loaded: .*Lambda"),
        (_two_inputs, r"must have one input, images .* Received: \(None, 8, 8, 3\), \(None, 8"),
        (_vectors, r"must have one input, images .* Received: \(None, 8\)"),
    ],
)
def test_a_file_of_weights_that_will_not_do_is_named(
    weights, photos, tmp_path, capsys, kind, message
):
    file = tmp_path / "net.keras"
    if callable(kind):
        kind().save(file)
    else:
        data = weights.read_bytes()
        file.write_bytes(b"" if kind == "empty" else data[: len(data) // 2])
    flags = [f"--weights={file}", "--layer=mlpconv1", f"--out={tmp_path}/f.npz"]
    assert call(*flags, *photos) == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert said.count("\n") == 1
    assert not (tmp_path / "f.npz").exists()
