"""Which images the recipes train, validate and test on, and what becomes of them on the way.

The data sets are small ones of the real names, whose images say their number.
"""

import math

import fake_datasets
import keras
import numpy as np
import pytest

from tfcnns import recipes, runs
from tfcnns.errors import UserError
from tfcnns.layers import zca_whitening
from tfcnns.pipelines import arrays
from tfcnns.pipelines.datasets import open_dataset

ALL, MOST, HELD_OUT = range(50), range(40), range(40, 50)  # of the training images of CIFAR
TEST = range(50, 70)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = fake_datasets.prepare_all(monkeypatch, tmp_path_factory.mktemp("fake"))
        for name in ("mnist", "cifar10", "cifar100", "svhn_cropped", "imagenet2012"):
            open_dataset(name, "test", data_dir=folder, download=True)
    return str(folder)


@pytest.fixture(autouse=True)
def small_svhn(monkeypatch):
    monkeypatch.setattr(arrays, "SVHN_HELD_OUT", {"train": 4, "extra": 2})


def recipe_in(data_dir, name, **values):
    recipe = runs.load_recipe(recipes.find(name))
    return recipe, {**recipe.config(), "data_dir": data_dir, "epochs": 1, "batch_size": 7, **values}


def seen(recipe, config, split, what=fake_datasets.number):
    """`what` of a split's images in the order in which they come; None for no split."""
    stream = recipe.data(config, split, 0, 1)
    if stream is None:
        return None
    return [what(image) for image, _ in stream.unbatch().as_numpy_iterator()]


CIFAR = ("nin_cifar10", "nin_cifar10_augmented", "nin_cifar100")
MAXOUT = ("maxout_cifar10", "maxout_cifar10_augmented", "maxout_cifar100")
ROWS = [
    *[(name, {}, ALL, None, TEST) for name in CIFAR],
    ("nin_cifar10", {"split": "train"}, MOST, HELD_OUT, TEST),
    ("nin_cifar10", {"limit": 8}, range(8), None, TEST),
    *[(name, {}, MOST, HELD_OUT, TEST) for name in MAXOUT],
    *[(name, {"stage": 2}, ALL, None, TEST) for name in MAXOUT],
    ("nin_mnist", {}, range(60), None, range(10)),
    ("maxout_mnist", {}, range(50), range(50, 60), range(10)),
    ("maxout_mnist_pi", {}, range(50), range(50, 60), range(10)),
    ("maxout_mnist_pi", {"stage": 2}, range(60), range(50, 60), range(10)),
]


@pytest.mark.parametrize(("name", "values", "train", "validation", "test"), ROWS)
def test_images_of_each_split(data_dir, name, values, train, validation, test):
    recipe, config = recipe_in(data_dir, name, **values)
    order = seen(recipe, config, "train")
    assert sorted(order) == list(train)
    assert order != list(train)  # shuffled
    assert seen(recipe, config, "validation") == (validation and list(validation))
    assert seen(recipe, config, "test") == list(test)


@pytest.mark.parametrize("name", ["nin_svhn", "maxout_svhn"])
def test_validation_images_of_svhn_are_never_trained_on(data_dir, name):
    recipe, config = recipe_in(data_dir, name)
    held = set(seen(recipe, config, "validation", np.ndarray.tobytes))
    stages = [config, {**config, "stage": 2}] if "stage" in config else [config]
    for stage in stages:
        trained_on = set(seen(recipe, stage, "train", np.ndarray.tobytes))
        assert len(held) + len(trained_on) == sum(fake_datasets.SVHN[p] for p in ("train", "extra"))
        assert held
        assert not held & trained_on


@pytest.mark.parametrize("name", [*CIFAR, *MAXOUT])
@pytest.mark.parametrize("split", ["train", "train+validation"])
def test_whitening_is_fitted_on_all_training_images(data_dir, name, split, monkeypatch):
    batches = []

    def record(data, filter_bias):
        batches.extend(np.array(batch) for batch in data)
        unit = np.eye(math.prod(batches[0].shape[1:]), dtype="float32")
        return batches[0].shape[1:], np.zeros(len(unit)), 2 * unit, unit / 2

    monkeypatch.setattr(zca_whitening, "zca_matrices", record)
    recipe, config = recipe_in(data_dir, name, split=split, width=0.02)
    model = recipe.model(config)
    images = np.concatenate(batches)
    assert images.shape == (50, 32, 32, 3)
    np.testing.assert_allclose((images**2).sum((1, 2, 3)), 55**2, rtol=1e-4)
    np.testing.assert_allclose(images.mean((1, 2, 3)), 0, atol=1e-4)
    names = [layer.name for layer in model.layers]
    assert names[:3] == ["image", "contrast", "whitening"]
    assert ("window" in names[3:4]) == name.endswith("augmented")


@pytest.mark.parametrize("split", ["train", "train+validation"])
def test_nin_sees_mnist_less_the_mean_of_all_training_images(data_dir, split):
    recipe, config = recipe_in(data_dir, "nin_mnist", split=split, width=0.02)
    model = recipe.model(config)
    assert [layer.name for layer in model.layers[:3]] == ["image", "mean_image", "mlpconv1"]
    images = open_dataset("mnist", "train+validation", data_dir=data_dir).dataset()
    images = np.stack([image for image, _ in images.as_numpy_iterator()]).astype("float64")
    assert len(images) == 60
    seen = keras.Model(model.input, model.get_layer("mean_image").output)(images[:9])
    np.testing.assert_allclose(seen, images[:9] - images.mean(0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["nin_svhn", "maxout_svhn", "nin_imagenet"])
def test_preprocessing_of_the_others(name):
    recipe = runs.load_recipe(recipes.find(name))
    model = recipe.model({**recipe.config(), "width": 0.02})
    names = {"s": ["contrast", "local_contrast"], "i": ["subtract_mean"]}
    expected = names[name.split("_")[1][0]]
    assert [layer.name for layer in model.layers[1 : 1 + len(expected)]] == expected


def test_imagenet_is_cropped_and_mirrored(data_dir):
    recipe, config = recipe_in(data_dir, "nin_imagenet", split="train", batch_size=3)
    for split, count in (("train", 258), ("validation", 2), ("test", 10)):
        stream = recipe.data({**config, "batch_size": min(count, 3)}, split, 0, 1)
        assert stream.cardinality() == -(-count // 3)
        images, labels = next(stream.as_numpy_iterator())
        assert images.dtype == np.uint8
        assert images.shape[1:] == (224, 224, 3)
        if split == "train":  # each class has one grey
            grey = {0: 50, 999: 200}
            for image, label in zip(images, labels, strict=True):
                assert abs(int(image.mean()) - grey[int(label)]) < 3


def test_imagenet_on_digits_draws_anew_in_each_epoch():
    recipe = runs.load_recipe(recipes.find("nin_imagenet"))
    config = {**recipe.config(), "data": "digits", "limit": 6, "batch_size": 6, "epochs": 2}
    small = {"input_shape": (24, 24, 3), "short_side": 32}
    first, second = recipe.data({**config, **small}, "train", 0, 1).as_numpy_iterator()
    assert first[0].shape == (6, 24, 24, 3)
    assert sorted(first[1]) == sorted(second[1])
    means = [np.sort(images.mean((1, 2, 3))) for images, _ in (first, second)]
    assert not np.array_equal(*means)
    config["first_step"] = 1  # and is the same when begun there
    (only,) = recipe.data({**config, **small}, "train", 0, 1).as_numpy_iterator()
    np.testing.assert_array_equal(only[0], second[0])


@pytest.mark.parametrize("name", ["nin_cifar10", "maxout_mnist"])
def test_workers_share_a_batch(data_dir, name):
    recipe, config = recipe_in(data_dir, name, batch_size=8)
    whole = next(iter(recipe.data(config, "train", 0, 1)))
    halves = [next(iter(recipe.data(config, "train", worker, 2))) for worker in range(2)]
    for one, parts in zip(whole, zip(*halves, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(parts))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("nin_cifar10", {"data": "cifar100"}, "data=cifar100 has 100 classes, the net 10"),
        ("nin_cifar10", {"data": "mnist"}, r"images of \(28, 28, 1\), not \(32, 32, 3\)"),
        ("nin_imagenet", {"data": "cifar10", "classes": 9}, "has 10 classes, the net 9"),
        ("maxout_mnist", {"data": "records:{imagenet}"}, "1000 classes, the net 10"),
        ("nin_cifar10", {"data": "records:{imagenet}", "classes": 1000}, "has images of other siz"),
    ],
)
def test_data_of_another_kind(data_dir, name, values, said):
    values["data"] = values["data"].format(imagenet=f"{data_dir}/imagenet2012/5.1.0")
    recipe, config = recipe_in(data_dir, name, **values)
    with pytest.raises(UserError, match=said):
        recipe.data(config, "train", 0, 1)


def test_imagenet_net_on_small_images(data_dir):
    recipe, config = recipe_in(data_dir, "nin_imagenet", data="cifar10")
    images, _ = next(recipe.data(config, "test", 0, 1).as_numpy_iterator())
    assert images.shape == (7, 224, 224, 3)


def test_class_names():
    for name in recipes.names():
        config = runs.load_recipe(recipes.find(name)).config()
        names = config.get("class_names") or ()
        assert len(set(names)) == len(names)
        if config.get("data") == "cifar100":
            assert len(names) == 100
            assert list(names) == sorted(names)
