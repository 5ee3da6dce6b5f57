"""The recipe of cuda-convnet's nets for CIFAR-10: crops, rates and decays of its files, stages."""

import keras
import numpy as np
import pytest

from tfcnns import recipes, runs
from tfcnns.errors import UserError
from tfcnns.pipelines.crops import ten_crops
from tfcnns.pipelines.datasets import open_dataset
from tfcnns.training.second_stage import StartFrom

PATH = recipes.find("alexnet_cifar10")


@pytest.fixture
def recipe():
    return runs.load_recipe(PATH)


def small(recipe, **values):
    return {**recipe.config(), "data": "digits", "width": 0.1, "epochs": 1, **values}


def digits(split):
    images = open_dataset("digits", split, size=32, channels=3).dataset()
    return np.stack([image for image, _ in images.as_numpy_iterator()])


def first(dataset):
    return next(iter(dataset))[0].numpy()


def test_training_sees_random_crops_and_their_mirror_images(recipe):
    config = small(recipe, limit=1, epochs=150, batch_size=1)
    image = digits("train")[0]
    seen = set()
    for crop, _ in recipe.data(config, "train"):
        assert crop.shape == (1, 24, 24, 3)
        windows = {
            (y, x, mirrored)
            for y in range(9)
            for x in range(9)
            for mirrored in (1, -1)
            if np.array_equal(crop[0, :, ::mirrored], image[y : y + 24, x : x + 24])
        }
        assert len(windows) == 1
        seen |= windows
    rows, columns, mirrored = zip(*seen, strict=True)
    assert set(rows) == set(columns) == set(range(9))
    assert 0.35 < np.mean(np.array(mirrored) < 0) < 0.65


def test_validation_and_test_images(recipe):
    config = small(recipe, batch_size=100)
    np.testing.assert_array_equal(
        first(recipe.data(config, "validation")), digits("validation")[:100, 4:28, 4:28]
    )
    tested = first(recipe.data(config, "test"))
    assert tested.shape == (100, 10, 24, 24, 3)
    np.testing.assert_array_equal(tested[7], ten_crops(digits("test")[7], 24))


def test_18pct_sees_whole_images(recipe):
    config = small(recipe, net="18pct", batch_size=100)
    assert recipe.model(config).input_shape == (None, 32, 32, 3)
    np.testing.assert_array_equal(first(recipe.data(config, "test")), digits("test")[:100])
    trained = first(recipe.data({**config, "limit": 100}, "train"))
    expected = digits("train")[:100]
    order = np.lexsort(trained.reshape(100, -1).T), np.lexsort(expected.reshape(100, -1).T)
    np.testing.assert_array_equal(trained[order[0]], expected[order[1]])
    assert first(recipe.data({**config, "augment": True}, "test")).shape[1:] == (10, 24, 24, 3)


def test_the_mean_is_that_of_the_centres_of_all_training_images(recipe):
    model = recipe.model(small(recipe))
    both = np.concatenate([digits("train"), digits("validation")])[:, 4:28, 4:28]
    mean = model.get_layer("mean_image").mean
    np.testing.assert_allclose(mean, both.mean(0), rtol=1e-5)


# epsW .001 and epsB .002 of every layer; wc of the weights, none of biases.
WC = {
    "11pct": {"conv1": 0, "conv2": 0, "local3": 0.004, "local4": 0.004, "fc10": 0.01},
    "13pct": {"conv1": 0, "conv2": 0, "local3": 0.004, "local4": 0.004, "fc10": 0.004},
    "18pct": {"conv1": 0.004, "conv2": 0.004, "conv3": 0.004, "fc10": 1},
}


@pytest.mark.parametrize("net", WC)
def test_rates_and_decays_of_the_files(recipe, net):
    config = small(recipe, net=net, limit=2)
    model = recipe.model(config)
    assert recipe.compile(model, config) == []
    optimizer = model.optimizer
    np.testing.assert_allclose([optimizer.learning_rate, optimizer.momentum], [0.001, 0.9])
    decays = {}
    for weight in model.trainable_weights:
        layer, kind = weight.path.split("/")
        assert optimizer.multiplier(weight.path) == (2 if kind == "bias" else 1)
        if kind == "bias":
            assert optimizer.decay(weight.path) == 0
        else:
            decays[layer] = optimizer.decay(weight.path)
    assert decays == pytest.approx(WC[net])
    optimizer.build(model.trainable_variables)  # all patterns match


def test_settings_reach_the_net(recipe):
    config = small(recipe, limit=2, lrn=False, activation="tanh")
    model = recipe.model(config)
    names = [layer.name for layer in model.layers]
    assert "local4" in names
    assert "norm1" not in names
    assert model.get_layer("conv1").activation.__name__ == "tanh"
    with pytest.raises(UserError, match=r"net must be one of 11pct, .*Received: net='9pct'"):
        recipe.data(small(recipe, net="9pct"), "train")


def test_stage_2_goes_on_with_all_images(recipe, tmp_path):
    first_config = small(recipe, limit=2)
    run = runs.create_run(tmp_path / "first", PATH, first_config)
    (run.path / "best.weights.h5").touch()
    (run.path / "last.weights.h5").touch()  # as Ctrl-C leaves them
    (run.path / "history.csv").write_text("epoch,val_accuracy\n1,0.5\n")

    config = small(recipe, stage=2, epochs=170, from_run=str(run.path), limit=2)
    model = recipe.model(config)
    with pytest.raises(UserError, match="first isn't finished, it stands at epoch 1 of 1"):
        recipe.compile(model, config)
    (run.path / "model.keras").touch()
    schedule, start = recipe.compile(model, config)
    assert isinstance(schedule, keras.callbacks.LearningRateScheduler)
    rates = [schedule.schedule(epoch, None) for epoch in (0, 149, 150, 159, 160, 169)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert isinstance(start, StartFrom)
    assert start.weights == run.path / "last.weights.h5"
    assert len(recipe.compile(model, {**config, "from_run": None})) == 1

    assert recipe.data(config, "validation") is None
    held_out = recipe.data(first_config, "validation")
    whole = recipe.data({**config, "limit": None, "epochs": 1}, "train")
    most = recipe.data({**first_config, "limit": None}, "train")
    sizes = [sum(len(labels) for _, labels in stream) for stream in (most, held_out, whole)]
    assert sizes[0] + sizes[1] == sizes[2] == 1397
