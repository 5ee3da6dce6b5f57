"""AlexNet's and OverFeat's recipes for ImageNet: crops, statistics, ablations, schedules."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfcnns import evaluate, recipes, runs
from tfcnns.detection import geometry, multiscale_vote
from tfcnns.detection.scales import default_scales
from tfcnns.errors import UserError
from tfcnns.layers import CeilMaxPooling2D
from tfcnns.pipelines import transforms
from tfcnns.pipelines.crops import ten_crops
from tfcnns.training.lars import LARS
from tfcnns.training.watching import DivideOnPlateau

OVERFEAT = ("overfeat_fast_imagenet", "overfeat_accurate_imagenet")
NAMES = ("alexnet_imagenet", OVERFEAT[0])  # the accurate net's data are the fast one's


def picture(seed):
    """A smooth picture, twice as wide as high: 48x24 pixels at a shorter side of 24."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3)).astype("uint8")
    return Image.fromarray(noise).resize((72, 36), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures of two classes to train on, and two to validate and to test on."""
    root = tmp_path_factory.mktemp("photographs")
    for n, file in enumerate(
        ["train/a/0", "train/a/1", "train/a/2", "train/b/3", "train/b/4", "train/b/5"]
        + ["val/a/6", "val/b/7", "test/a/8", "test/b/9"]
    ):
        path = root / f"{file}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(n).save(path, quality=95, subsampling=0)
    return root


@pytest.fixture
def recipe_with(folder):
    """(recipe, config) for crops of 20 pixels out of 24 from that folder."""

    def build(name, **values):
        recipe = runs.load_recipe(recipes.find(name))
        small = {"data": f"folder:{folder}", "size": 20, "short_side": 24, "batch_size": 4}
        return recipe, {**recipe.config(), **small, "epochs": 1, **values}

    return build


def scaled(folder, file):
    """A picture of the folder at a shorter side of 24, by the long way."""
    image = tf.io.decode_jpeg((folder / f"{file}.jpg").read_bytes())
    return transforms.resize_short_side(image, 24).numpy()


def square(image):
    margin = (image.shape[1] - 24) // 2
    return image[:, margin : margin + 24]


def same(image, expected):
    """Equal but for pixels that rounding puts one level off."""
    return image.shape == expected.shape and np.abs(image.astype(int) - expected).max() <= 1


def first(dataset):
    return [array.numpy() for array in next(iter(dataset))]


def place(crop, image):
    """(row, column, mirrored) of a crop of 20x20 in an image; exactly one place must fit."""
    found = [
        (y, x, mirrored)
        for y in range(image.shape[0] - 19)
        for x in range(image.shape[1] - 19)
        for mirrored in (False, True)
        if same(crop[:, :: -1 if mirrored else 1], image[y : y + 20, x : x + 20])
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("name", NAMES)
def test_training_sees_random_crops_and_their_mirror_images(recipe_with, folder, name):
    recipe, config = recipe_with(name, limit=1, epochs=150, batch_size=1)
    image = scaled(folder, "train/a/0")
    assert image.shape == (24, 48, 3)
    seen = [place(crop[0].numpy(), image) for crop, _ in recipe.data(config, "train")]
    rows, columns, mirrored = zip(*seen, strict=True)
    assert set(rows) == set(range(5))
    # AlexNet crops the middle square, which begins in column 12; OverFeat the whole image.
    assert (min(columns), max(columns)) == ((12, 16) if name == "alexnet_imagenet" else (0, 28))
    assert len(set(columns)) >= (5 if name == "alexnet_imagenet" else 25)
    assert 50 < sum(mirrored) < 100  # of 150, four standard deviations


@pytest.mark.parametrize("name", NAMES)
def test_a_test_image_is_shown_in_ten_views(recipe_with, folder, name):
    recipe, config = recipe_with(name, batch_size=20, views="ten")
    whole = square(scaled(folder, "test/a/8"))
    images, labels = first(recipe.data(config, "test"))
    assert images.dtype == np.uint8
    assert images.shape == (2, 10, 20, 20, 3)  # batches of as many crops as in training
    assert same(images[0], ten_crops(whole, 20).numpy())
    assert same(images[0, 4], whole[2:22, 2:22])
    assert labels.ravel().tolist() == [0, 1]
    centre, _ = first(recipe.data({**config, "views": "center"}, "test"))
    np.testing.assert_array_equal(centre, images[:, 4])


def test_validation_shows_the_centre(recipe_with, folder):
    recipe, config = recipe_with("alexnet_imagenet")
    images, labels = first(recipe.data(config, "validation"))
    assert labels.tolist() == [0, 1]
    for image, file in zip(images, ("val/a/6", "val/b/7"), strict=True):
        assert same(image, square(scaled(folder, file))[2:22, 2:22])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_trained_on(recipe_with, name):
    recipe, config = recipe_with(name)
    held = {
        s: recipe.data({**config, "split": s}, "validation") for s in ("train", "train+validation")
    }
    assert held["train"] is not None
    assert held["train+validation"] is None
    images = {s: recipe.data({**config, "split": s}, "train").unbatch() for s in held}
    assert [len(list(images[s])) for s in held] == [6, 8]
    assert config["split"] == ("train" if name == "alexnet_imagenet" else "train+validation")


@pytest.mark.parametrize("name", ["alexnet_imagenet", *OVERFEAT])
def test_labels_have_the_shape_of_the_output(recipe_with, name):
    recipe, config = recipe_with(name)
    window = {"alexnet_imagenet": 67, "overfeat_fast_imagenet": 231}.get(name, 221)
    model = recipe.model({**config, "size": window, "short_side": window, "width": 0.01})
    positions = model.compute_output_shape((4, window, window, 3))[:-1]
    for split in ("train", "test"):
        _, labels = first(recipe.data(config, split))
        assert labels.shape[1:] == positions[1:]


def test_a_limit_takes_images_of_all_classes(recipe_with):
    recipe, config = recipe_with("alexnet_imagenet", limit=2, batch_size=2)
    _, labels = first(recipe.data(config, "train"))
    assert sorted(labels) == [0, 1]
    assert len(list(recipe.data(config, "test").unbatch())) == 2


def test_streams_begin_at_a_step_and_are_shared_by_workers(recipe_with):
    recipe, config = recipe_with("alexnet_imagenet", epochs=2)
    whole = [images for images, _ in recipe.data(config, "train")]
    (late,) = (images for images, _ in recipe.data({**config, "first_step": 3}, "train"))
    np.testing.assert_array_equal(whole[3], late)
    halves = [recipe.data(config, "train", worker, 2) for worker in range(2)]
    for images, *parts in zip(whole, *halves, strict=True):
        np.testing.assert_array_equal(images, tf.concat([part for part, _ in parts], 0))


# AlexNet


def alexnet(recipe_with, **values):
    """The recipe's model on crops of 67 pixels, and the recipe and config."""
    small = {"size": 67, "short_side": 72, "width": 0.05, "classes": 7}
    recipe, config = recipe_with("alexnet_imagenet", **{**small, **values})
    return recipe.model(config), recipe, config


def test_statistics_are_those_of_centre_crops(recipe_with, folder):
    recipe, config = recipe_with("alexnet_imagenet", views="center")
    layers = recipe.preprocessing(config)
    assert [layer.name for layer in layers] == ["unit", "lighting", "levels", "mean_image"]
    files = ["a/0", "a/1", "a/2", "b/3", "b/4", "b/5"]
    crops = np.array([square(scaled(folder, f"train/{file}"))[2:22, 2:22] for file in files], float)
    np.testing.assert_allclose(layers[3].mean, crops.mean(0), atol=0.2)
    values, vectors = np.linalg.eigh(np.cov(crops.reshape(-1, 3).T / 255, bias=True))
    np.testing.assert_allclose(layers[1].eigenvalues, values[::-1], rtol=1e-3)
    np.testing.assert_allclose(np.abs(layers[1].eigenvectors), np.abs(vectors[:, ::-1]), atol=1e-2)

    few = recipe.preprocessing({**config, "statistics": 2})[3]
    np.testing.assert_allclose(few.mean, crops[[0, 3]].mean(0), atol=1)


def test_noise_is_the_papers_in_training_alone(recipe_with):
    recipe, config = recipe_with("alexnet_imagenet")
    images = np.random.default_rng(0).integers(0, 256, (400, 20, 20, 3)).astype("uint8")
    _, lighting, _, mean = layers = recipe.preprocessing(config)
    chain = keras.Sequential(layers)
    centred = images - np.asarray(mean.mean)
    np.testing.assert_allclose(chain(images), centred, atol=1e-3)
    noise = chain(images, training=True).numpy() - centred
    np.testing.assert_allclose(noise, np.broadcast_to(noise[:, :1, :1], noise.shape), atol=1e-3)
    along = noise[:, 0, 0] @ np.asarray(lighting.eigenvectors)
    # 0.1 times the eigenvalues, in grey levels; 400 draws tell a deviation to 3.5 %.
    np.testing.assert_allclose(along.std(0), 25.5 * np.asarray(lighting.eigenvalues), rtol=0.15)


def test_noise_of_the_code_and_none(recipe_with):
    recipe, config = recipe_with("alexnet_imagenet")
    assert recipe.preprocessing({**config, "lighting": "code"})[1].variant == "code"
    (only,) = recipe.preprocessing({**config, "lighting": "none"})
    assert only.name == "mean_image"


def test_every_ablation_is_a_setting(recipe_with):
    def layers(**values):
        model, _, _ = alexnet(recipe_with, lighting="none", **values)
        return {layer.name: layer for layer in model.layers}

    paper = layers()
    assert paper["fc8"].units == 7
    assert paper["scale6"].scale == 0.5  # dropout multiplies at test
    assert paper["norm1"].alpha == 1e-4
    assert paper["conv2"].towers == 2
    assert isinstance(paper["pool1"], CeilMaxPooling2D)

    less = layers(lrn=False, drop=("conv3",), towers=1, activation="tanh", dropout=0.0)
    assert set(paper) - set(less) == {"norm1", "norm2", "conv3"}
    assert less["conv2"].towers == 1
    assert less["conv1"].activation.__name__ == "tanh"
    assert less["drop6"].rate == 0

    half = layers(half=True, width=0.25, overlapping_pool=False)
    assert [half[f"conv{n}"].filters for n in range(1, 6)] == [12, 32, 48, 48, 64]
    assert half["pool1"].pool_size == (2, 2)

    code = layers(form="code2012")
    assert {"split1", "merge2", "same_map_norm2", "activation1"} <= set(code)
    assert code["norm1"].alpha == 2e-5
    assert code["conv3"].kernel_initializer.stddev == 0.03
    assert "same_map_norm2" not in layers(form="code2012", lrn=False)


def test_update_and_cuts_of_the_paper(recipe_with):
    model, recipe, config = alexnet(recipe_with)
    (plateau,) = recipe.compile(model, config)
    optimizer = model.optimizer
    np.testing.assert_allclose([optimizer.learning_rate, optimizer.momentum], [0.01, 0.9])
    for weight in model.trainable_weights:
        assert optimizer.multiplier(weight.path) == 1
        assert optimizer.decay(weight.path) == (0 if "bias" in weight.path else 5e-4)
    assert isinstance(plateau, DivideOnPlateau)
    assert (plateau.monitor, plateau.factor, plateau.cuts) == ("val_accuracy", 10, 3)
    assert plateau.stop

    (schedule,) = recipe.compile(model, {**config, "cuts": (25, 51, 79)})
    rates = [schedule.schedule(epoch, None) for epoch in (0, 24, 25, 50, 51, 78, 79, 89)]
    np.testing.assert_allclose(rates, [0.01] * 2 + [1e-3] * 2 + [1e-4] * 2 + [1e-5] * 2)

    recipe.compile(model, {**config, "form": "code2012"})
    assert model.optimizer.multiplier("conv1/tower0/bias") == 2


def test_lars_and_warm_up_are_settings(recipe_with):
    values = {"optimizer": "lars", "warmup": 2, "learning_rate": 10.0, "form": "code2012"}
    model, recipe, config = alexnet(recipe_with, **values)
    plateau, warm_up = recipe.compile(model, config)
    assert isinstance(plateau, DivideOnPlateau)
    assert (warm_up.rate, warm_up.updates) == (10.0, 2 * 2)  # six images in batches of four
    optimizer = model.optimizer
    assert isinstance(optimizer, LARS)
    np.testing.assert_allclose([optimizer.learning_rate, optimizer.momentum], [10.0, 0.9])
    assert optimizer.multiplier("conv1/tower0/bias") == 0.002
    assert optimizer.multiplier("conv1/tower0/kernel") == 1
    assert optimizer.decay("conv1/tower0/kernel") == 5e-4
    own = recipe.config()
    assert (own["optimizer"], own["warmup"], own["devices"]) == ("sgd", 0, None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"views": "scales"}, "views must be ten or center. Received: views='scales'"),
        ({"lighting": "None"}, "lighting must be paper, code or none. Received"),
        ({"form": "caffe"}, "form must be paper or code2012. Received: form='caffe'"),
        ({"classes": 1}, "has 2 classes: set classes"),
        ({"split": "train+validation"}, "split=train.validation holds nothing out that can stall"),
        ({"optimizer": "adam"}, "optimizer must be sgd or lars. Received: 'adam'"),
        ({"optimizer": "lars"}, "Received: learning_rate=0.01; try 10"),
        ({"warmup": 5, "cuts": (5, 9)}, r"cuts=.5, 9.: the first is within warmup=5"),
    ],
)
def test_refuses(recipe_with, values, message):
    def use():
        model, recipe, config = alexnet(recipe_with, **values)
        recipe.data(config, "test")
        recipe.compile(model, config)

    with pytest.raises(UserError, match=message):
        use()


# OverFeat


def test_a_test_image_is_seen_whole_at_four_scales(recipe_with, folder):
    """Table 2's "4 scales": its six without the third and the fifth; validation sees centres."""
    for name in OVERFEAT:
        recipe, config = recipe_with(name, width=0.01)
        all_six = default_scales(geometry(recipe.model(config)))
        assert config["scales"] == tuple(all_six[i] for i in (0, 1, 3, 5))
        assert recipe.vote(config) == {"scales": config["scales"]}
        assert recipe.vote({**config, "views": "ten"}) is None
    images = [image for image, _ in recipe.data(config, "test")]
    assert [image.shape for image in images] == [(1, 36, 72, 3)] * 2
    whole = tf.io.decode_jpeg((folder / "test/b/9.jpg").read_bytes())
    np.testing.assert_array_equal(images[1][0], whole)
    images, _ = first(recipe.data({**config, "split": "train"}, "validation"))
    assert images.shape == (2, 20, 20, 3)


def test_the_votes_are_those_of_each_test_image(recipe_with):
    recipe, config = recipe_with(OVERFEAT[1], width=0.01, classes=3, scales=(245, 281))
    model = recipe.model(config)
    dataset = recipe.data(config, "test")
    labels, scores = evaluate.scores(recipe, config, "test", model, dataset)
    assert labels.tolist() == [0, 1]
    for (image, _), row in zip(dataset, scores, strict=True):
        votes = multiscale_vote(model, image[0], (245, 281)).numpy()
        np.testing.assert_allclose(row, votes / votes.sum(), rtol=1e-5)  # of float32


def test_refuses_unknown_views_of_overfeat(recipe_with):
    recipe, config = recipe_with(OVERFEAT[0], views="all")
    with pytest.raises(UserError, match=r"views must be scales, ten or center\. Received: views="):
        recipe.data(config, "test")


@pytest.mark.parametrize("name", OVERFEAT)
def test_update_and_halvings_of_overfeat(recipe_with, name):
    recipe, config = recipe_with(name, width=0.01)
    assert recipe.config()["size"] == (231 if "fast" in name else 221)
    assert recipe.config()["epochs"] == 90
    model = recipe.model(config)
    (schedule,) = recipe.compile(model, config)
    optimizer = model.optimizer
    np.testing.assert_allclose([optimizer.learning_rate, optimizer.momentum], [0.0005, 0.6])
    assert optimizer.decay("conv1/kernel") == 1e-5
    assert optimizer.decay("conv1/bias") == 0
    rates = {0: 50, 29: 50, 30: 25, 49: 25, 50: 12.5, 60: 6.25, 70: 3.125, 80: 1.5625, 89: 1.5625}
    for epoch, rate in rates.items():
        assert schedule.schedule(epoch, None) == pytest.approx(rate / 100_000)


@pytest.mark.parametrize("name", OVERFEAT)
def test_starts_of_overfeat(recipe_with, name):
    """He's normal, the recipe's own, or the paper's; 8 % is four sigma for conv3's 1,000."""
    layer = "fc7" if "fast" in name else "fc8"
    for chosen, deviation in ((None, lambda _: 0.01), ("he_normal", lambda n: (2 / n) ** 0.5)):
        recipe, config = recipe_with(name, width=0.03)
        assert config["initializer"] == "he_normal"
        model = recipe.model({**config, "initializer": chosen})
        for kernel in (model.get_layer(one).kernel.numpy() for one in ("conv3", layer)):
            expected = deviation(np.prod(kernel.shape[:-1]))
            assert kernel.std() == pytest.approx(expected, rel=0.08)
    with pytest.raises(ValueError, match="henormal"):
        recipe.model({**config, "initializer": "henormal"})


@pytest.mark.parametrize("name", OVERFEAT)
def test_overfeat_takes_images_of_any_size_after_training(recipe_with, name):
    recipe, config = recipe_with(name, width=0.01, classes=7)
    model = recipe.model(config)
    assert model.input_shape == (None, None, None, 3)
    size = recipe.config()["size"]
    stride = 32 if "fast" in name else 36
    assert tuple(model(np.zeros((1, size, size + stride, 3))).shape) == (1, 1, 2, 7)
