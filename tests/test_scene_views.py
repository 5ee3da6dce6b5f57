"""Pieces of scenes: image and boxes move together, and look as `transforms.resize` makes them."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnns.pipelines import transforms
from tfcnns.pipelines.scene_views import (
    EMPTY,
    mixed_view,
    object_view,
    objects_alone,
    random_view,
    scene_view,
)

BOXES = np.float32([[10, 20, 26, 44], [50, 8, 60, 18], [0, 0, 0, 0]])
LABELS = np.int64([3, 5, EMPTY])


def scene():
    """Grey noise with white where the boxes are, (72, 96, 1)."""
    image = np.random.RandomState(0).randint(0, 60, (72, 96, 1)).astype(np.uint8)
    for x0, y0, x1, y1 in BOXES[:2].astype(int):
        image[y0:y1, x0:x1] = 255
    return image


def test_a_piece_is_cut_out_of_the_resized_image():
    image = tf.cast(scene(), tf.float32)
    expected = transforms.resize(image, 108, 144)[20:84, 7:71]
    piece, boxes = scene_view(image, BOXES, 64, 1.5, np.float32([7, 20]))
    np.testing.assert_allclose(piece, expected, atol=2e-3)
    np.testing.assert_allclose(boxes[0], [8, 10, 32, 46])
    small = transforms.resize(image, 36, 48)[:36, :36]
    piece, _ = scene_view(image, BOXES, 36, 0.5, np.float32([0, 0]))
    np.testing.assert_allclose(piece, small, atol=2e-3)


def test_beyond_the_image_lies_its_mean():
    image = scene()
    piece, boxes = scene_view(image, BOXES, 120, 1.0, np.float32([-10, -30]))
    np.testing.assert_allclose(piece[30:102, 10:106], image, atol=1e-3)
    np.testing.assert_allclose(piece[:29], np.full((29, 120, 1), image.mean()), atol=1e-2)
    np.testing.assert_allclose(boxes[0], [20, 50, 36, 74])


def test_boxes_stay_around_what_they_held():
    for seed in range(20):
        piece, boxes = random_view(scene(), BOXES, 68, (36, 76, 148), (seed, 1), jitter=0.2)
        assert piece.shape == (68, 68, 1)
        for x0, y0, x1, y1 in boxes.numpy()[:2]:
            (a, b), (c, d) = np.clip([(x0 + 2, y0 + 2), (x1 - 2, y1 - 2)], 0, 68).astype(int)
            inside = piece.numpy()[b:d, a:c]
            if inside.size:
                assert inside.mean() > 200


def test_views_depend_on_the_seed_alone_and_reach_all_scales():
    first = random_view(scene(), BOXES, 68, (36, 76), (4, 2))
    again = random_view(scene(), BOXES, 68, (36, 76), (4, 2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    sides = set()
    for seed in range(12):
        _, boxes = random_view(scene(), BOXES, 68, (36, 72), (seed, 0))
        sides.add(round(float(boxes[0, 2] - boxes[0, 0]), 3))
    assert sides == {8.0, 16.0}


def test_a_crop_has_its_object_in_it():
    middle, label = object_view(scene(), BOXES, LABELS, 32, fill=(0.75, 0.75))
    assert int(label) == 3
    # 16 x 24 pixels, the longer side 24 of 32, in the middle.
    assert middle.numpy()[6:26, 10:22].mean() > 240
    assert middle.numpy()[:, :6].mean() < 80
    found = set()
    for seed in range(20):
        crop, label = object_view(scene(), BOXES, LABELS, 32, (seed, 0))
        assert crop.shape == (32, 32, 1)
        assert crop.numpy().max() > 200
        found.add(int(label))
    assert found == {3, 5}


@pytest.mark.parametrize("seed", [None, (1, 2)])
def test_an_image_without_boxes_is_shown_whole(seed):
    labels = np.full(3, EMPTY)
    crop, label = object_view(scene(), np.zeros((3, 4), "float32"), labels, 32, seed)
    assert int(label) == EMPTY
    if seed is None:  # its longer side takes .7 of 32 pixels, in the middle
        zoom = 0.7 * 32 / 96
        corner = tf.constant([48 * zoom - 16, 36 * zoom - 16])
        expected, _ = scene_view(scene(), np.zeros((0, 4), "float32"), 32, zoom, corner)
        np.testing.assert_allclose(crop, expected, atol=1e-3)  # of 255
    else:  # the mean around it, and white from both boxes
        edge = crop.numpy()[:2]
        np.testing.assert_allclose(edge, edge.mean(), atol=1e-3)
        assert edge.mean() + 50 < crop.numpy().max()


def test_inside_tf_data_with_unknown_sides():
    dataset = tf.data.Dataset.from_generator(
        lambda: [scene()], output_signature=tf.TensorSpec((None, None, 1), tf.uint8)
    )
    viewed = dataset.map(lambda image: random_view(image, BOXES, 68, (36, 76), (4, 2)))
    ((piece, _),) = viewed.as_numpy_iterator()
    expected, _ = random_view(scene(), BOXES, 68, (36, 76), (4, 2))
    np.testing.assert_allclose(piece, expected, atol=1e-3)


def test_mixed_views_show_an_object_at_a_useful_size():
    for seed in range(20):
        piece, boxes = mixed_view(
            scene(), BOXES, LABELS, 68, (36, 200), (seed, 3), sides=(13, 32), about=1.0
        )
        assert piece.shape == (68, 68, 1)
        sides = (boxes[:2, 2:] - boxes[:2, :2]).numpy().max(1)
        inside = ((boxes[:2, :2] >= -1e-3) & (boxes[:2, 2:] <= 68 + 1e-3)).numpy().all(1)
        # 200 / 72 is the largest zoom: the second one has 10 pixels, so 27.8 at most.
        assert (inside & (sides >= 12.9) & (sides <= 32.1)).any()


def test_crowds_are_not_what_a_view_shows():
    """Where the first box is one of a crowd, all views are about the second."""
    alone = objects_alone(LABELS, [True, False, False])
    np.testing.assert_array_equal(alone, [EMPTY, 5, EMPTY])
    np.testing.assert_array_equal(objects_alone(LABELS), LABELS)
    for seed in [None, *((n, 0) for n in range(8))]:
        crop, label = object_view(scene(), BOXES, alone, 32, seed, fill=(0.75, 0.75), shift=0.0)
        assert int(label) == 5
        assert crop.numpy()[8:24, 8:24].mean() > 240  # a square of 24, in the middle
    for seed in range(10):
        _, boxes = mixed_view(
            scene(), BOXES, alone, 68, (36, 200), (seed, 3), sides=(13, 32), about=1.0
        )
        x0, y0, x1, y1 = boxes[1].numpy()
        assert min(x0, y0) >= -1e-3
        assert max(x1, y1) <= 68 + 1e-3
        assert 12.9 <= x1 - x0 <= 32.1


def test_mixed_views_are_random_ones_without_boxes_and_where_chance_says_so():
    none = np.full(3, EMPTY), np.zeros((3, 4), "float32")
    piece, boxes = mixed_view(scene(), none[1], none[0], 68, (36, 76), (4, 2), about=1.0)
    anywhere, _ = mixed_view(scene(), none[1], none[0], 68, (36, 76), (4, 2), about=0.0)
    np.testing.assert_array_equal(piece, anywhere)
    np.testing.assert_array_equal(boxes[:, 2:], boxes[:, :2])
    for seed in range(5):
        _, boxes = mixed_view(scene(), BOXES, LABELS, 68, (36,), (seed, 2), about=0.0)
        np.testing.assert_allclose(boxes[0, 2] - boxes[0, 0], 8, atol=1e-4)
