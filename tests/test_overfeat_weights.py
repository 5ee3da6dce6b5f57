"""The released weight files: written here number by number, read by the package.

tests/test_overfeat_twin.py runs nets with such weights against torch.
"""

import keras
import numpy as np
import pytest

from tfcnns.errors import UserError
from tfcnns.models import load_overfeat_weights, nin, overfeat, overfeat_preprocessing

# Where each layer's weights and biases begin in the authors' files (jhjin/overfeat-torch, run.lua).
OFFSETS = {
    "fast": [
        ("conv1", (96, 3, 11, 11), 0, 34_848),
        ("conv2", (256, 96, 5, 5), 34_944, 649_344),
        ("conv3", (512, 256, 3, 3), 649_600, 1_829_248),
        ("conv4", (1024, 512, 3, 3), 1_829_760, 6_548_352),
        ("conv5", (1024, 1024, 3, 3), 6_549_376, 15_986_560),
        ("fc6", (3072, 1024, 6, 6), 15_987_584, 129_233_792),
        ("fc7", (4096, 3072, 1, 1), 129_236_864, 141_819_776),
        ("fc8", (1000, 4096, 1, 1), 141_823_872, 145_919_872),
    ],
    "accurate": [
        ("conv1", (96, 3, 7, 7), 0, 14_112),
        ("conv2", (256, 96, 7, 7), 14_208, 1_218_432),
        ("conv3", (512, 256, 3, 3), 1_218_688, 2_398_336),
        ("conv4", (512, 512, 3, 3), 2_398_848, 4_758_144),
        ("conv5", (1024, 512, 3, 3), 4_758_656, 9_477_248),
        ("conv6", (1024, 1024, 3, 3), 9_478_272, 18_915_456),
        ("fc7", (4096, 1024, 5, 5), 18_916_480, 123_774_080),
        ("fc8", (4096, 4096, 1, 1), 123_778_176, 140_555_392),
        ("fc9", (1000, 4096, 1, 1), 140_559_488, 144_655_488),
    ],
}


def small(variant="digits", **kwargs):
    return overfeat(variant, **{"width": 0.02, "classes": 5, **kwargs})


def write(path, model):
    """A file for `model`, holding 0, 1, 2, ... times a small number."""
    count = sum(layer.count_params() for layer in model.layers if layer.name != "regressor")
    numbers = np.arange(count, dtype="<f4") * np.float32(2**-20)
    path.write_bytes(numbers.tobytes())
    return numbers


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net_weight_0"


@pytest.mark.parametrize("variant", ["fast", "accurate", "digits"])
def test_every_number_has_its_place(path, variant):
    model = small(variant)
    numbers = iter(write(path, model))
    load_overfeat_weights(model, path)
    for layer in model.layers:
        if not layer.weights:
            continue
        kernel, bias = layer.get_weights()
        rows, columns, inputs, outputs = kernel.shape
        for o in range(outputs):
            for i in range(inputs):
                for r in range(rows):
                    for c in range(columns):
                        assert kernel[r, c, i, o] == next(numbers)
        for o in range(outputs):
            assert bias[o] == next(numbers)
    assert next(numbers, None) is None


@pytest.mark.parametrize("variant", OFFSETS)
def test_layers_lie_where_the_released_files_have_them(variant):
    model = overfeat(variant, kernel_initializer="zeros")
    layers = [layer for layer in model.layers if layer.weights]
    start = 0
    for layer, (name, shape, weights_at, biases_at) in zip(layers, OFFSETS[variant], strict=True):
        assert layer.name == name
        assert tuple(layer.kernel.shape) == (shape[2], shape[3], shape[1], shape[0])
        assert start == weights_at
        assert start + np.prod(shape) == biases_at
        start = biases_at + shape[0]
    assert start == model.count_params()


def test_a_box_regressor_keeps_its_weights(path):
    model = small(head="both")
    before = model.get_layer("regressor").get_weights()
    numbers = write(path, model)
    load_overfeat_weights(model, path)
    for old, new in zip(before, model.get_layer("regressor").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.get_layer("fc7").get_weights()[1][-1] == numbers[-1]


def test_classes_in_another_order(path):
    model, reordered = small(), small()
    write(path, model)
    load_overfeat_weights(model, path)
    load_overfeat_weights(reordered, path, class_numbers=[2, 0, 4, 3, 1])
    for name in ("conv1", "fc6", "fc7"):
        theirs, mine = (net.get_layer(name).get_weights() for net in (model, reordered))
        for mine_array, array in zip(mine, theirs, strict=True):
            expected = array[..., [2, 0, 4, 3, 1]] if name == "fc7" else array
            np.testing.assert_array_equal(mine_array, expected)


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3], [0, 1, 2, 3, 3], [1, 2, 3, 4, 5]], ids=str)
def test_refuses_class_numbers_that_are_no_permutation(path, numbers):
    model = small()
    write(path, model)
    with pytest.raises(ValueError, match="each of 0 to 4 once"):
        load_overfeat_weights(model, path, class_numbers=numbers)


def test_preprocessing_is_the_releases():
    pixels = np.array([[[[0, 118.380948, 255]]]], "float32")
    (layer,) = overfeat_preprocessing()
    expected = [[[[-118.380948 / 61.896913, 0, (255 - 118.380948) / 61.896913]]]]
    np.testing.assert_allclose(layer(pixels), expected, atol=1e-6)


def test_preprocessing_is_exact_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        (layer,) = overfeat_preprocessing()
    finally:
        keras.config.set_dtype_policy("float32")
    difference = layer(np.float32([[[[201]]]])) - layer(np.float32([[[[200]]]]))
    np.testing.assert_allclose(difference, [[[[1 / 61.896913]]]], rtol=1e-4)


def refused(model, path, message):
    """`path` is refused in one line, and the model's weights are as they were."""
    before = model.get_weights()
    with pytest.raises(UserError, match=message) as caught:
        load_overfeat_weights(model, path)
    assert "\n" not in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_refuses_a_missing_file(path):
    refused(small(), path, f"can't read weights {path}: No such file or directory")


def test_refuses_a_folder(path):
    path.mkdir()
    refused(small(), path, f"can't read weights {path}: Is a directory")


@pytest.mark.parametrize("change", [-1, -4, 1, 4, -(10**9)])
def test_refuses_another_size(path, change):
    model = small()
    write(path, model)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) + change)] + b"\0" * max(change, 0))
    size = max(0, len(data) + change)
    refused(model, path, rf"{path} has {size:,} bytes; model overfeat_digits takes .*{len(data):,}")


def test_names_the_net_that_a_file_belongs_to(path):
    with open(path, "wb") as file:
        file.truncate(4 * 144_656_488)  # takes no space on disk
    model = overfeat("fast", kernel_initializer="zeros")
    with pytest.raises(
        UserError, match=r"has 578,625,952 bytes \(net_weight_1, the accurate net\); model overfeat"
    ):
        load_overfeat_weights(model, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("place", "layer"), [(0, "conv1"), (-1, "fc7")])
def test_refuses_numbers_that_are_not_finite(path, value, place, layer):
    model = small()
    numbers = write(path, model)
    numbers[place] = value
    path.write_bytes(numbers.tobytes())
    refused(model, path, f"{path} is damaged: numbers of {layer} are not finite")


def test_refuses_models_of_another_kind(path):
    regressor = small(head="regressor")
    write(path, regressor)
    refused(regressor, path, "overfeat_digits isn't an overfeat with a classifier.*conv1, conv2")
    refused(nin((8, 8, 3), ((4, 2),), (3,)), path, "model nin isn't.* found no convolutions")
