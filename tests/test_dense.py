"""Dense maps against windows cut out one by one, and against the loop of OverFeat's section 3.3."""

import gc
import weakref

import keras
import numpy as np
import pytest
import references
import references_preprocessing
import tensorflow as tf

from tfcnns.detection import dense as module
from tfcnns.detection import dense_map, geometry, wide_conv, window_boxes
from tfcnns.detection.dense import dense_net
from tfcnns.models import overfeat
from tfcnns.pipelines.transforms import resize

WIDTHS = {"fast": 0.01, "accurate": 0.01, "digits": 0.15}
VARIANTS = tuple(WIDTHS)


def small(variant="digits", **kwargs):
    """A narrow net with random weights and biases, which say more than small ones."""
    keras.utils.set_random_seed(0)
    settings = {"classes": 4, "width": WIDTHS[variant], "kernel_initializer": "he_normal"}
    model = overfeat(variant, **{**settings, **kwargs})
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(rng.normal(scale=0.2, size=weight.shape))
    return model


def picture(model, height, width, seed=0):
    channels = model.input.shape[-1]
    pixels = np.random.default_rng(seed).normal(size=(height, width, channels))
    return 2 * pixels.astype("float32")


def as_dict(outputs):
    return outputs if isinstance(outputs, dict) else {"": outputs}


def crops(model, image):
    """What the model says to each window alone: a dict of (H', W', ...)."""
    windows = np.asarray(window_boxes(model, image.shape)).astype(int)
    cut = [image[y0:y1, x0:x1] for x0, y0, x1, y1 in windows.reshape(-1, 4)]
    return {
        name: np.reshape(value, (*windows.shape[:2], *value.shape[3:]))
        for name, value in as_dict(model(np.stack(cut))).items()
    }


def looped(model, image, head="fc"):
    """Section 3.3 (a) to (e) on the model's own trunk map, in NumPy: one window after the other."""
    g = geometry(model)
    pool = model.get_layer(g.last_pool)
    maps = image[None]
    for layer in model.layers[1 : model.layers.index(pool)]:
        maps = layer(maps)
    pooled = references_preprocessing.offset_max_pool(np.asarray(maps), g.pool)  # (p p, h, w, C)
    if head == "fc":
        convs = [layer for layer in model.layers if layer.name.startswith("fc")]
    else:
        convs = model.get_layer("regressor").convs
    weights = [[np.asarray(w, "float64") for w in conv.get_weights()] for conv in convs]
    rows, columns = (g.pool * (side - g.head + 1) for side in pooled.shape[1:3])
    out = np.zeros((rows, columns, convs[-1].filters))
    for row, column in np.ndindex(rows, columns):
        (i, dy), (j, dx) = divmod(row, g.pool), divmod(column, g.pool)
        x = pooled[dy * g.pool + dx][None, i : i + g.head, j : j + g.head]
        for number, (kernel, bias) in enumerate(weights):
            x = references.conv2d(x, kernel) + bias
            x = np.maximum(x, 0) if number < len(weights) - 1 else x
        out[row, column] = x[0, 0, 0]
    if head == "fc":
        out = np.exp(out - out.max(-1, keepdims=True))
        out /= out.sum(-1, keepdims=True)
    return out


@pytest.mark.parametrize("seed", range(6))
def test_unpadded_digits_equal_their_windows(seed):
    model = small(padding="valid", head="both", boxes_per_class=seed % 2 == 1)
    rng = np.random.default_rng(seed)
    image = picture(model, *rng.integers(52, 110, 2), seed)
    found, expected = dense_map(model, image), crops(model, image)
    assert found.keys() == {"classifier", "boxes"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)
        assert np.ptp(value, axis=(0, 1)).max() > 1e-3  # windows do differ


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("variant", ["fast", "accurate"])
def test_unpadded_nets_equal_their_windows(variant, seed):
    model = small(variant, padding="valid", head="classifier" if seed else "regressor")
    g = geometry(model)
    rng = np.random.default_rng(seed)
    image = picture(model, *rng.integers(g.smallest, g.smallest + 2 * g.stride, 2), seed)
    found, expected = dense_map(model, image), crops(model, image)[""]
    assert found.shape[0] >= g.pool
    assert found.shape[1] >= g.pool
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(expected, axis=(0, 1)).max() > 1e-3


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_loop_over_offsets_and_positions(variant, padding):
    model = small(variant, padding=padding, head="both")
    g = geometry(model)
    image = picture(model, g.smallest + g.stride + 5, g.smallest + 1)
    found = dense_map(model, image)
    assert found["classifier"].shape == (2 * g.pool, g.pool, 4)
    assert found["boxes"].shape == (2 * g.pool, g.pool, 4)
    np.testing.assert_allclose(found["classifier"], looped(model, image), atol=1e-5)
    np.testing.assert_allclose(found["boxes"], looped(model, image, "regressor"), atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_nets_move_with_the_image(variant):
    """By one step, the windows whose context lies inside the image; those at its edges don't."""
    model = small(variant, classifier_activation=None)
    g = geometry(model)
    assert g.step == {"fast": 16, "accurate": 12, "digits": 4}[variant]
    side = g.smallest + (g.stride if variant == "digits" else 3 * g.stride) + 2 * g.step
    scene = picture(model, side + g.step, side + g.step)
    here = np.asarray(dense_map(model, scene[:side, :side]))
    there = np.asarray(dense_map(model, scene[g.step :, g.step :]))
    edge = g.context // g.step
    last = (side - g.window - g.context) // g.step  # the last that sees no zeros below it
    inside = slice(edge, last)
    moved = slice(edge + 1, last + 1)
    assert here[moved, moved].size > 0
    np.testing.assert_allclose(there[inside, inside], here[moved, moved], atol=1e-4)
    assert not np.allclose(there[:-1, :-1], here[1:, 1:], atol=1e-2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_lone_window_sees_zeros_instead_of_its_neighbours(variant):
    """With its context around it, it is the dense map's again: that is all the difference."""
    model = small(variant, classifier_activation=None)
    g = geometry(model)
    around = g.window + 2 * g.context
    image = picture(model, around + g.stride, around + g.stride)
    found = np.asarray(dense_map(model, image))
    edge = g.context // g.step
    lone = crops(model, image)[""]
    assert np.abs(lone - found)[edge, edge].max() > 0.01
    with_context = np.asarray(dense_map(model, image[:around, :around]))
    np.testing.assert_allclose(with_context[edge, edge], found[edge, edge], atol=1e-4)


def test_without_room_for_all_offsets_only_the_first_is_used():
    model = small(head="both")
    for size in [(32, 32), (35, 35), (35, 60), (47, 34)]:
        image = picture(model, *size)
        found, expected = dense_map(model, image), model(image[None])
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value[0], atol=1e-5)
        assert found["boxes"].shape[:2] == geometry(model).map_shape(*size)
    assert dense_map(model, picture(model, 36, 36))["classifier"].shape == (2, 2, 4)


def test_images_below_the_window_are_enlarged():
    model = small()
    for size, seen in [((1, 1), (32, 32)), ((16, 24), (32, 48)), ((40, 31), (41, 32))]:
        image = picture(model, *size)
        expected = model(resize(image, *seen)[None])[0]
        np.testing.assert_allclose(dense_map(model, image), expected, atol=1e-5)
        assert window_boxes(model, size).shape[:2] == expected.shape[:2]


def test_pixels_that_fill_no_stride_are_left_out():
    model = small(padding="valid")
    g = geometry(model)
    image = picture(model, 60 + g.stride, 60)
    for more in (1, g.stride - 1):
        np.testing.assert_allclose(
            dense_map(model, image[: 60 + more]), dense_map(model, image[:60]), atol=1e-5
        )
    assert dense_map(model, image).shape[0] == dense_map(model, image[:60]).shape[0] + g.pool


@pytest.mark.parametrize("size", [(97, 110), (60, 300), (300, 57), (34, 200), (52, 52)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_tiles_make_the_same_map(padding, size, monkeypatch):
    model = small(padding=padding, head="both")
    image = picture(model, *np.maximum(size, geometry(model).window))
    whole = dense_map(model, image)
    compiled = dense_net(model)._compiled
    ((heads, slide),) = compiled.items()
    pieces = []
    compiled[heads] = lambda images, trim: pieces.append(images.shape[1:3]) or slide(images, trim)
    monkeypatch.setattr(module, "TILE_PIXELS", 70 * 70)
    tiled = dense_map(model, image)
    for name, value in whole.items():
        np.testing.assert_allclose(tiled[name], value, atol=1e-5)
    assert len(pieces) > 1 or size == (52, 52)
    assert max(height * width for height, width in pieces) <= 70 * 70


def test_a_folder_of_all_sizes_is_traced_once():
    model = small(head="both")
    for size in [(60, 70), (36, 36), (33, 90), (5, 5), (71, 40), (64, 64)]:
        dense_map(model, picture(model, *size))
    (traced,) = dense_net(model)._compiled.values()
    assert traced.experimental_get_tracing_count() == 1


def test_models_are_let_go():
    model = small()
    dense_map(model, picture(model, 40, 40))
    gone = weakref.ref(model), weakref.ref(dense_net(model)), weakref.ref(model.get_layer("conv1"))
    assert dense_net(model) is dense_net(model)
    del model
    gc.collect()  # the model, and then
    gc.collect()  # what knows its layers
    assert [there() for there in gone] == [None] * 3


def test_training_goes_on_to_be_seen():
    model = small()
    image = picture(model, 44, 36)
    dense_map(model, image)
    for weight in model.weights:
        weight.assign(0.9 * weight)
    np.testing.assert_allclose(dense_map(model, image), looped(model, image), atol=1e-5)


def test_in_a_graph_that_does_not_know_the_size():
    model = small(head="both")
    traced = tf.function(
        lambda image: dense_map(model, image), input_signature=[tf.TensorSpec((None, None, 1))]
    )
    for size in [(50, 61), (33, 70), (9, 12)]:
        image = picture(model, *size)
        for name, value in dense_map(model, image).items():
            np.testing.assert_allclose(traced(image)[name], value, atol=1e-5)


def test_a_model_from_a_file_and_of_a_fixed_size(tmp_path):
    model = small(input_shape=(32, 32, 1), preprocessing=[keras.layers.Rescaling(0.5)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    image = picture(model, 50, 61)
    np.testing.assert_array_equal(dense_map(loaded, image), dense_map(model, image))
    np.testing.assert_allclose(dense_map(model, image), looped(model, image), atol=1e-5)


def test_wide_layers_as_matrix_products(monkeypatch):
    model = small(head="both", boxes_per_class=True)
    image = picture(model, 50, 61)
    expected = dense_map(model, image)
    monkeypatch.setattr(wide_conv, "WIDE", 0)
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    found = dense_map(again, image)
    assert found["boxes"].shape[2:] == (4, 4)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def test_whole_numbers_are_as_good_as_floats():
    model = small(preprocessing=[keras.layers.Rescaling(1 / 128)])
    levels = np.random.default_rng(0).integers(0, 256, (44, 40, 1))
    expected = dense_map(model, levels.astype("float32"))
    for dtype in ("uint8", "int64", "float64", "float16"):
        found = dense_map(model, levels.astype(dtype))
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == "float32"


def test_mixed_precision_ends_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    image = picture(model, 44, 40)
    found = dense_map(model, image)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, looped(model, image), atol=0.1)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((40, 40)), r"\(height, width, 1\). Received: shape=\(40, 40\)"),
        (np.zeros((1, 40, 40, 1)), r"Received: shape=\(1, 40, 40, 1\)"),
        (np.zeros((40, 40, 3)), r"Received: shape=\(40, 40, 3\)"),
        (np.zeros((0, 40, 1)), r"Received: shape=\(0, 40, 1\)"),
        (np.zeros((40, 40, 1), bool), "Received: dtype=bool"),
        (np.zeros((40, 40, 1), complex), "Received: dtype=complex128"),
    ],
)
def test_refuses_what_is_no_image(image, message):
    with pytest.raises(ValueError, match=message):
        dense_map(small(), image)


def test_refuses_models_it_can_not_slide():
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Flatten()(keras.layers.MaxPooling2D()(image)))
    with pytest.raises(ValueError, match=r"keeps the map's size\. Received: flatten"):
        dense_map(model, np.zeros((8, 8, 1)))
