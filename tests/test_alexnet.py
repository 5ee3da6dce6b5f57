"""The AlexNet builder against the literal numbers of the paper, its variants and ablations."""

import keras
import numpy as np
import pytest

from tfcnns.layers import LRN
from tfcnns.models import alexnet

# 67 pixels: maps of 15, 7, 3 and 1, so that every window is whole, as in the real net.
SMALL = {"input_shape": (67, 67, 3), "classes": 5, "width": 1 / 16, "initializers": "he_normal"}


def small(**kwargs):
    keras.utils.set_random_seed(0)
    return alexnet(**{**SMALL, **kwargs})


def images(batch=2, size=67):
    return np.random.default_rng(1).normal(size=(batch, size, size, 3)).astype("float32")


def at(model, name, x):
    """The output of the layer `name`."""
    return np.asarray(keras.Model(model.input, model.get_layer(name).output)(x))


def sizes(model):
    return {layer.name: layer.output.shape[1:] for layer in model.layers}


@pytest.fixture(scope="module")
def paper():
    keras.utils.set_random_seed(0)
    return alexnet()


def test_the_papers_net(paper):
    assert paper.count_params() == 60_965_224
    assert [(la.name, la.output.shape[1:], la.count_params()) for la in paper.layers] == [
        ("image", (227, 227, 3), 0),
        ("conv1", (55, 55, 96), 34_944),
        ("norm1", (55, 55, 96), 0),
        ("pool1", (27, 27, 96), 0),
        ("conv2", (27, 27, 256), 307_456),
        ("norm2", (27, 27, 256), 0),
        ("pool2", (13, 13, 256), 0),
        ("conv3", (13, 13, 384), 885_120),
        ("conv4", (13, 13, 384), 663_936),
        ("conv5", (13, 13, 256), 442_624),
        ("pool5", (6, 6, 256), 0),
        ("flatten", (9216,), 0),
        ("fc6", (4096,), 37_752_832),
        ("drop6", (4096,), 0),
        ("fc7", (4096,), 16_781_312),
        ("drop7", (4096,), 0),
        ("fc8", (1000,), 4_097_000),
        ("classifier", (1000,), 0),
    ]
    # Figure 2: what one kernel of one of the two towers sees.
    assert {
        layer.name: tuple(layer.weights[0].shape) for layer in paper.layers if layer.weights
    } == {
        "conv1": (11, 11, 3, 48),
        "conv2": (5, 5, 48, 128),
        "conv3": (3, 3, 256, 192),
        "conv4": (3, 3, 192, 192),
        "conv5": (3, 3, 192, 128),
        "fc6": (9216, 2048),
        "fc7": (4096, 2048),
        "fc8": (4096, 1000),
    }


def test_the_papers_constants(paper):
    for n in (1, 2):
        norm = paper.get_layer(f"norm{n}")
        assert (norm.depth_radius, norm.bias, norm.alpha, norm.beta) == (2, 2.0, 1e-4, 0.75)
    for n in (6, 7):
        assert paper.get_layer(f"drop{n}").rate == 0.5
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for layer in paper.layers:
        for weight in layer.weights:
            if weight.name == "bias":
                assert np.all(np.asarray(weight) == (layer.name in ones)), layer.name
            else:
                values = np.asarray(weight).ravel()[:200_000]  # so many give a std to 1 %
                np.testing.assert_allclose(values.std(), 0.01, rtol=0.02, err_msg=layer.name)
                assert abs(values.mean()) < 0.0005


def test_layers_and_towers_start_different(paper):
    starts = [np.asarray(w).ravel()[:100] for w in paper.weights if w.name == "kernel"]
    assert len(starts) == 15
    for i, one in enumerate(starts):
        for other in starts[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"towers": 1}, 62_378_344),
        ({"half": True}, 59_798_312),
        ({"drop": ("conv3",)}, 59_858_920),
        ({"drop": ["conv4"]}, 60_301_288),
        ({"drop": ("conv5",)}, 79_396_968),
        ({"overlapping_pool": False}, 60_965_224),
        ({"overlapping_pool": False, "order": "code2012"}, 60_965_224),
        ({"input_shape": (224, 224, 3), "order": "code2012", "classes": 10}, 56_909_194),
        ({"include_top": False}, 2_334_080),
    ],
    ids=str,
)
def test_parameters_of_the_variants(arguments, parameters):
    assert alexnet(**arguments).count_params() == parameters


def test_the_net_of_the_authors_code():
    model = small(
        input_shape=(224, 224, 3),
        lrn={"alpha": 2e-5},
        lrn_across_towers=False,
        same_map_norm=True,
        order="code2012",
        scale_at_test=True,
        initializers="code2012",
    )
    assert " ".join(layer.name for layer in model.layers) == (
        "image pad1 conv1 split1 norm1 merge1 pool1 activation1 "
        "conv2 split2 norm2 merge2 same_map_norm2 pool2 conv3 conv4 conv5 pool5 flatten "
        "fc6 drop6 scale6 fc7 drop7 scale7 fc8 classifier"
    )


def test_half_is_the_papers_net_for_one_gpu():
    model = alexnet(half=True, include_top=False)
    shapes = sizes(model)
    assert [shapes[f"conv{n}"][-1] for n in range(1, 6)] == [48, 128, 192, 192, 256]
    assert all(layer.towers == 1 for layer in model.layers if hasattr(layer, "towers"))
    assert model.get_layer("conv4").weights[0].shape == (3, 3, 192, 192)


def test_a_224_pixel_image_runs_over_the_right_and_bottom_edges():
    model = small(input_shape=(224, 224, 3))
    assert sizes(model)["pad1"] == (227, 227, 3)
    assert sizes(model)["conv1"][:2] == (55, 55)
    whole = small(input_shape=(227, 227, 3))
    whole.set_weights(model.get_weights())
    x = images(1, 224)
    padded = np.pad(x, ((0, 0), (0, 3), (0, 3), (0, 0)))
    for name in ("conv1", "classifier"):
        np.testing.assert_allclose(at(model, name, x), at(whole, name, padded), rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "smallest"),
    [
        ({}, 11),
        ({"overlapping_pool": False}, 36),
        ({"overlapping_pool": False, "order": "code2012"}, 56),
    ],
    ids=str,
)
def test_sizes_of_the_input(arguments, smallest):
    for size in (smallest, smallest + 1, smallest + 2):
        model = small(input_shape=(size, size + 9, 1), include_top=False, **arguments)
        assert model(np.ones((1, size, size + 9, 1))).shape[:2] == (1, 1)
    for wrong in ((smallest - 1, 300, 3), (300, smallest - 1, 3), (None, 300, 3)):
        with pytest.raises(ValueError, match=f"at least {smallest} pixels.*Received: input_shape="):
            small(input_shape=wrong, **arguments)


def test_pools_of_the_overlap_comparison_end_at_the_same_size():
    plain = sizes(alexnet(width=1 / 32, overlapping_pool=False))
    assert [plain[f"pool{n}"][0] for n in (1, 2, 5)] == [27, 13, 6]
    code = sizes(alexnet(width=1 / 32, overlapping_pool=False, order="code2012"))
    assert [code[f"pool{n}"][0] for n in (1, 2, 5)] == [28, 13, 6]
    assert [code[f"conv{n}"][0] for n in (2, 5)] == [26, 11]


def test_the_order_of_the_paper():
    model, x = small(), images()
    maps = at(model, "conv1", x)
    assert maps.min() == 0
    np.testing.assert_allclose(at(model, "norm1", x), LRN()(maps), rtol=1e-5)


def test_the_order_of_the_code():
    model, x = small(order="code2012"), images()
    maps = at(model, "conv1", x)
    assert maps.min() < 0
    np.testing.assert_allclose(at(model, "norm1", x), LRN()(maps), rtol=1e-5, atol=1e-6)
    pooled = keras.ops.max_pool(LRN()(maps), 3, 2)
    np.testing.assert_allclose(at(model, "pool1", x), pooled, rtol=1e-5, atol=1e-6)
    rectified = np.maximum(pooled, 0)
    np.testing.assert_allclose(at(model, "activation1", x), rectified, rtol=1e-5, atol=1e-6)
    assert at(model, "conv2", x).min() == 0


def test_the_order_of_caffenet():
    model, x = small(order="caffenet"), images()
    for n in (1, 2):
        maps = at(model, f"conv{n}", x)
        assert maps.min() == 0
        pooled = keras.ops.max_pool(maps, 3, 2)
        np.testing.assert_allclose(at(model, f"norm{n}", x), LRN()(pooled), rtol=1e-5)


@pytest.mark.parametrize("order", ["paper", "code2012", "caffenet"])
def test_lrn_within_towers(order):
    x = images()
    model = small(order=order, lrn={"alpha": 0.1}, lrn_across_towers=False)
    across = small(order=order, lrn={"alpha": 0.1})
    across.set_weights(model.get_weights())
    before = "pool" if order == "caffenet" else "conv"
    for n, channels in ((1, 6), (2, 16)):
        maps = at(model, f"{before}{n}", x)
        towers = [LRN(alpha=0.1)(half) for half in np.split(maps, 2, -1)]
        expected = np.concatenate(towers, -1)
        assert expected.shape[-1] == channels
        np.testing.assert_allclose(at(model, f"merge{n}", x), expected, rtol=1e-5, atol=1e-6)
    # Only the two channels on each side of the seam know the difference.
    difference = np.abs(at(model, "merge1", x) - at(across, "norm1", x)).max((0, 1, 2))
    assert list(difference > 1e-4) == [False, True, True, True, True, False]


def test_constants_and_absence_of_lrn():
    norm = small(lrn={"alpha": 2e-5, "bias": 1.0}).get_layer("norm2")
    assert (norm.depth_radius, norm.bias, norm.alpha, norm.beta) == (2, 1.0, 2e-5, 0.75)
    assert small(lrn={}).get_layer("norm1").alpha == 1e-4
    assert not {"norm1", "norm2"} & set(sizes(small(lrn=False)))


def test_the_codes_second_norm():
    model = small(same_map_norm=True)
    names = [layer.name for layer in model.layers]
    assert names.index("same_map_norm2") == names.index("norm2") + 1
    norm = model.get_layer("same_map_norm2")
    assert (norm.size, norm.scale, norm.power, norm.bias) == (5, 1e-3, 0.75, 1.0)
    assert "same_map_norm2" in sizes(small(same_map_norm=True, lrn=False))


def test_tanh():
    model, x = small(activation="tanh"), 10 * images()
    for name in ("conv1", "conv5", "fc6", "fc7"):
        values = at(model, name, x)
        assert -1 <= values.min() < -0.2
        assert 0.2 < values.max() <= 1


def test_middle_layers_can_be_left_out():
    model = small(drop=("conv3", "conv4", "conv5"))
    assert not {"conv3", "conv4", "conv5"} & set(sizes(model))
    assert sizes(model)["pool5"] == (1, 1, 16)
    # Without conv3 the towers meet in fc6 alone.
    x, model = images(), small(drop=("conv3",), lrn_across_towers=False)
    conv2 = model.get_layer("conv2")
    before = at(model, "pool5", x)
    conv2.weights[2].assign(conv2.weights[2] + 1)
    after = at(model, "pool5", x)
    np.testing.assert_array_equal(before[..., :8], after[..., :8])
    assert np.any(before[..., 8:] != after[..., 8:])


@pytest.mark.parametrize(
    ("initializers", "conv3", "fc6", "bias"),
    [("paper", 0.01, 0.01, 1), ("code2012", 0.03, 0.01, 1), ("caffe", 0.01, 0.005, 0.1)],
)
def test_initial_weights(initializers, conv3, fc6, bias):
    keras.utils.set_random_seed(0)
    model = alexnet(width=1 / 4, initializers=initializers)
    stds = [0.01, 0.01, conv3, conv3, conv3, fc6, fc6, 0.01]
    biases = [0, bias, 0, bias, bias, bias, bias, 0]
    layers = [layer for layer in model.layers if layer.weights]
    for layer, std, constant in zip(layers, stds, biases, strict=True):
        kernel, start = layer.weights[:2]
        np.testing.assert_allclose(np.std(kernel), std, rtol=0.03, err_msg=layer.name)
        np.testing.assert_allclose(start, constant)


def test_the_global_seed_makes_starts_repeat():
    for one, other in zip(small().weights, small(devices=["cpu:0"] * 2).weights, strict=True):
        assert one.path == other.path
        np.testing.assert_array_equal(one, other)


def test_dropout_scaled_at_test_is_the_same_net_with_larger_kernels():
    x = images(64)
    keras_way, paper_way = small(dropout=0.2), small(dropout=0.2, scale_at_test=True)
    paper_way.set_weights(keras_way.get_weights())
    assert not np.allclose(paper_way(x), keras_way(x), rtol=1e-3)
    for name in ("fc7", "fc8"):
        for weight in paper_way.get_layer(name).weights:
            if weight.name == "kernel":
                weight.assign(weight / 0.8)
    np.testing.assert_allclose(paper_way(x), keras_way(x), rtol=1e-4, atol=1e-6)
    # In training what is kept stays as it is.
    units = at(paper_way, "fc6", x)
    top = keras.Model(paper_way.input, paper_way.get_layer("scale6").output)
    dropped = np.asarray(top(x, training=True))
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], units[kept], rtol=1e-4)
    assert 0.15 < 1 - kept[units > 0].mean() < 0.25


def test_classifier_and_preprocessing():
    x = np.random.default_rng(1).integers(0, 256, (3, 67, 67, 3)).astype("float32")
    scale = keras.layers.Rescaling(1 / 255, offset=-0.5)
    model = small(preprocessing=[scale])
    y = model.predict_on_batch(x)
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-5)
    logits = small(classifier_activation=None)
    logits.set_weights(model.get_weights())
    z = logits.predict_on_batch(x / 255 - 0.5)
    np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(-1, keepdims=True), y, rtol=1e-4)


def test_preprocessing_may_set_the_size():
    model = small(input_shape=(None, None, 3), preprocessing=[keras.layers.CenterCrop(67, 67)])
    assert model(images(2, 80)).shape == (2, 5)


def test_without_the_top_it_carries_weights_to_other_sizes():
    features = small(include_top=False)
    assert features.output_shape == (None, 1, 1, 16)
    larger = small(include_top=False, input_shape=(131, 99, 3))
    larger.set_weights(features.get_weights())
    assert larger(np.ones((1, 131, 99, 3))).shape == (1, 3, 2, 16)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"half": True, "order": "caffenet", "activation": "tanh"},
        {
            "order": "code2012",
            "lrn_across_towers": False,
            "same_map_norm": True,
            "scale_at_test": True,
            "overlapping_pool": False,
        },
    ],
    ids=str,
)
def test_trains_and_is_saved(arguments, tmp_path):
    model = small(**arguments, dropout=0.0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = images(4), np.arange(4)
    before = model.get_weights()
    losses = model.fit(x, y, epochs=3, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.02  # the slowest, with tanh, falls by .034
    for old, new in zip(before, model.get_weights(), strict=True):
        assert not np.array_equal(old, new)
    model.save(tmp_path / "it.keras")
    again = keras.saving.load_model(tmp_path / "it.keras")
    np.testing.assert_allclose(again(x), model(x), rtol=1e-6)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_mixed_precision():
    exact, x = small(), images()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rounded = small()
    finally:
        keras.config.set_dtype_policy(before)
    rounded.set_weights(exact.get_weights())
    assert rounded.get_layer("fc7").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(rounded(x).dtype) == "float32"
    assert np.ptp(exact(x), axis=0).max() > 0.03  # between the images; 8 bits err by .004
    np.testing.assert_allclose(rounded(x), exact(x), atol=0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"order": "caffe"}, "one of .*'caffenet'.*Received: order='caffe'"),
        ({"drop": ("conv2",)}, r"some of .*Received: drop=\('conv2',\)"),
        ({"drop": "conv3"}, "a sequence of .*Received: drop='conv3'"),
        ({"width": 0}, "Received: width=0"),
        ({"initializers": "torch"}, "torch"),
        ({"initializers": 0.01}, "Received: initializers=0.01"),
        ({"half": True, "devices": ("cpu:0", "cpu:0")}, "Received: half=True, devices="),
        ({"devices": ("cpu:0",)}, "Received: devices="),
        ({"towers": 5, "width": 1.0}, "Received: filters=96, towers=5"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        small(**wrong)
