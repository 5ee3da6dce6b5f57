import numpy as np
import pytest
import tensorflow as tf

from tfcnns.pipelines import transforms

RANDOM = np.random.RandomState(0)
IMAGE = RANDOM.randint(0, 256, (7, 10, 3)).astype(np.uint8)
SEED = tf.constant([3, 4], tf.int32)


def everywhere(function, image=IMAGE):
    """The result of `function`, checked to be the same eagerly and in tf.data, where height
    and width may be known or not."""
    eager = function(image).numpy()
    unknown = tf.TensorSpec([None, None, image.shape[2]], image.dtype)
    for step in (function, tf.function(function, input_signature=[unknown])):
        (mapped,) = tf.data.Dataset.from_tensors(image).map(step)
        np.testing.assert_array_equal(mapped, eager)
        assert mapped.dtype == eager.dtype
    return eager


def over_seeds(function, count):
    def one(number):
        return function(tf.stack([number, 1]))

    return np.stack(list(tf.data.Dataset.range(count, output_type=tf.int32).map(one)))


def triangle_weights(source, target):
    """(target, source): means over a triangle one pixel wide, or one target pixel if wider."""
    width = max(1.0, source / target)
    weights = np.zeros((target, source))
    for i in range(target):
        for j in range(source):
            distance = (j + 0.5) - (i + 0.5) * source / target
            weights[i, j] = max(0.0, 1 - abs(distance) / width)
    return weights / weights.sum(axis=1, keepdims=True)


def resize_reference(image, height, width):
    rows = triangle_weights(image.shape[0], height)
    columns = triangle_weights(image.shape[1], width)
    return np.einsum("ih,jw,hwc->ijc", rows, columns, image.astype(np.float64))


def test_scale():
    scaled = everywhere(transforms.scale)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, IMAGE.astype(np.float32) / np.float32(255))
    assert transforms.scale(np.array([[[0], [255]]], np.uint8)).numpy().ravel().tolist() == [0, 1]


def test_scale_refuses_what_is_scaled_already():
    with pytest.raises(ValueError, match=r"uint8.*dtype=float32"):
        transforms.scale(transforms.scale(IMAGE))


def test_random_shift_is_a_crop_of_the_padded_image():
    shifted = everywhere(lambda image: transforms.random_shift(image, 2, SEED, fill=9))
    padded = np.pad(IMAGE, [(2, 2), (2, 2), (0, 0)], constant_values=9)
    crops = [padded[y : y + 7, x : x + 10] for y in range(5) for x in range(5)]
    assert sum(np.array_equal(shifted, crop) for crop in crops) == 1


def test_random_shift_draws_every_offset_equally_often():
    dot = np.zeros((5, 5, 1), np.float32)
    dot[2, 2] = 1
    shifted = over_seeds(lambda seed: transforms.random_shift(dot, 2, seed), 2500)
    counts = shifted.sum(axis=0)  # 25 places, 100 expected at each
    assert counts.sum() == 2500
    assert np.sum((counts - 100) ** 2 / 100) < 43  # chi-squared, 24 degrees: 1 in 100


def test_random_shift_by_zero_and_beyond_the_image():
    np.testing.assert_array_equal(transforms.random_shift(IMAGE, 0, SEED), IMAGE)
    far = over_seeds(lambda seed: transforms.random_shift(IMAGE, 50, seed), 20)
    assert far.shape == (20, 7, 10, 3)
    assert (far == 0).all(axis=(1, 2, 3)).any()


def test_random_flip():
    everywhere(lambda image: transforms.random_flip(image, SEED))
    flipped = over_seeds(lambda seed: transforms.random_flip(IMAGE, seed), 1000)
    mirrored = (flipped == IMAGE[:, ::-1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(mirrored, (flipped != IMAGE).any(axis=(1, 2, 3)))
    assert abs(mirrored.sum() - 500) < 50


def test_random_crop_reaches_every_place():
    everywhere(lambda image: transforms.random_crop(image, (5, 8), SEED))
    crops = over_seeds(lambda seed: transforms.random_crop(IMAGE, (5, 8), seed), 900)
    places = [IMAGE[y : y + 5, x : x + 8] for y in range(3) for x in range(3)]
    counts = np.array([(crops == place).all(axis=(1, 2, 3)).sum() for place in places])
    assert counts.sum() == 900
    assert np.sum((counts - 100) ** 2 / 100) < 20  # chi-squared, 8 degrees: 1 in 100


@pytest.mark.parametrize("size", [7, (7, 10), (4, 3), 1])
def test_center_crop(size):
    height, width = (size, size) if isinstance(size, int) else size
    top, left = (7 - height) // 2, (10 - width) // 2
    cropped = everywhere(lambda image: transforms.center_crop(image, size))
    np.testing.assert_array_equal(cropped, IMAGE[top : top + height, left : left + width])


@pytest.mark.parametrize("crop", [transforms.center_crop, transforms.random_crop])
def test_crop_larger_than_the_image(crop):
    seed = (SEED,) if crop is transforms.random_crop else ()
    with pytest.raises(ValueError, match=r"height >= 8. Received: height=7"):
        crop(IMAGE, 8, *seed)
    blind = tf.function(
        lambda image: crop(image, 8, *seed),
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)],
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        blind(IMAGE)


def test_crops_know_their_shape():
    for crop in (transforms.center_crop, transforms.random_crop):
        seed = (SEED,) if crop is transforms.random_crop else ()
        dataset = tf.data.Dataset.from_tensors(IMAGE).map(
            lambda image, c=crop, s=seed: c(image, 4, *s)
        )
        assert dataset.element_spec.shape == (4, 4, 3)


@pytest.mark.parametrize("size", [(7, 10), (3, 4), (1, 1), (20, 33), (4, 25)])
def test_resize_is_a_triangle_filter(size):
    reference = resize_reference(IMAGE, *size)
    floats = everywhere(lambda image: transforms.resize(image, *size), IMAGE.astype(np.float32))
    np.testing.assert_allclose(floats, reference, atol=1e-3)
    resized = everywhere(lambda image: transforms.resize(image, *size))
    assert resized.dtype == np.uint8
    np.testing.assert_allclose(resized, reference, atol=0.501)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((7, 10), 14, (14, 20)), ((10, 7), 3, (4, 3)), ((8, 8), 5, (5, 5)), ((1, 9), 2, (2, 18))],
)
def test_resize_short_side(shape, size, expected):
    image = RANDOM.randint(0, 256, (*shape, 3)).astype(np.uint8)
    resized = everywhere(lambda image: transforms.resize_short_side(image, size), image)
    np.testing.assert_array_equal(resized, transforms.resize(image, *expected))


def test_split_gives_independent_seeds():
    seeds = transforms.split(SEED, 3)
    assert len({tuple(seed.numpy()) for seed in [SEED, *seeds]}) == 4
    for seed in seeds:
        assert seed.shape == (2,)
        assert seed.dtype == tf.int32
    first, second = np.split(
        over_seeds(
            lambda seed: [tf.random.stateless_normal([], s) for s in transforms.split(seed, 2)],
            2000,
        ),
        2,
        axis=1,
    )
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.06
