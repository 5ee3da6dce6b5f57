"""merge_boxes against the loop of OverFeat's section 4.3, by hand, and inside exported graphs."""

import itertools

import numpy as np
import pytest
import references_detection as references
import tensorflow as tf

from tfcnns.detection import merge as merge_file
from tfcnns.detection.candidates import top_class_boxes
from tfcnns.detection.merge import merge_boxes

PAIR = [[0.0, 0, 10, 10], [1, 0, 11, 10]]  # .1 + 1 - 9 / 11 = .2818 apart


def random_boxes(n, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(0, 300, (n, 2)), rng.uniform(20, 160, (n, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return boxes.astype(dtype), rng.uniform(0.1, 1, n).astype(dtype)


def grid_boxes(n, seed=0):
    """Small whole numbers: many pairs have the same score, in float32 as well."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 10, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 6, (n, 2))], axis=1)
    return boxes.astype("float32"), rng.uniform(0.1, 1, n).astype("float32")


def agree(boxes, scores, threshold, tolerance=1e-9, **options):
    """Whether the same boxes merge is asked exactly, where they end up within a tolerance."""
    expected = references.merge(boxes, scores, threshold, **options)
    merged = merge_boxes(boxes, scores, threshold, return_groups=True, **options)
    np.testing.assert_array_equal(merged[2], expected[2])
    np.testing.assert_allclose(merged[0], expected[0], rtol=tolerance, atol=100 * tolerance)
    np.testing.assert_allclose(merged[1], expected[1], rtol=100 * tolerance)
    return len(expected[0])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("match", ["iou", "intersection", "literal"])
def test_equals_the_loop(match, weighted):
    left = [
        agree(*random_boxes(90, seed), threshold, match=match, weighted=weighted)
        for seed, threshold in enumerate([0.3, 0.9, 1.6, np.inf])
    ]
    assert left[-1] == 1
    assert 10 < left[1] < 80


@pytest.mark.parametrize(("match", "weighted"), [("iou", False), ("iou", True), ("literal", False)])
def test_ties_go_to_the_lowest_pair(match, weighted):
    for seed in range(6):
        agree(*grid_boxes(60, seed), 1.0, 1e-5, match=match, weighted=weighted)


def test_a_merged_box_takes_part_in_ties_at_its_first_boxs_place():
    # 1 and 3 merge first, and are then as far from 0 on one side as 2 is on the other.
    corners = np.array([[0, 0], [-4, 1], [4, 0], [-4, -1]])
    boxes = np.concatenate([corners, corners + 10], axis=1).astype("float32")
    merged, _, groups = merge_boxes(boxes, [1, 1, 2, 1], 1.0, return_groups=True)
    np.testing.assert_array_equal(groups, [0, 0, 1, 0])
    np.testing.assert_array_equal(merged, [[-2, 0, 8, 10], [4, 0, 14, 10]])
    # Behind 0 in the list, 2 comes before them.
    order = [0, 2, 1, 3]
    *_, groups = merge_boxes(boxes[order], [1, 1, 2, 1], 1.0, return_groups=True)
    np.testing.assert_array_equal(groups, [1, 1, 0, 0])


def test_several_rounds_of_many_boxes():
    assert agree(*random_boxes(300, 7), 1.2) < 60


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 63, 64, 65])
def test_sizes_around_blocks_and_alignment(count):
    agree(*random_boxes(count), 1.0)


def test_by_hand():
    # Boxes 0 and 1 become [.5, 0, 10.5, 10]; box 2 is then .2 + 1 - 8 / 12 = .5333 away.
    boxes = [*PAIR, [2.5, 0, 12.5, 10], [50, 50, 60, 60]]
    scores = [0.5, 0.25, 0.125, 0.625]
    two, sums, groups = merge_boxes(boxes, scores, 0.53, return_groups=True)
    np.testing.assert_array_equal(two, [[0.5, 0, 10.5, 10], [50, 50, 60, 60], [2.5, 0, 12.5, 10]])
    np.testing.assert_array_equal(sums, [0.75, 0.625, 0.125])
    np.testing.assert_array_equal(groups, [0, 0, 2, 1])
    three, sums = merge_boxes(boxes, scores, 0.54)
    np.testing.assert_array_equal(three, [[1.5, 0, 11.5, 10], [50, 50, 60, 60]])
    np.testing.assert_array_equal(sums, [0.875, 0.625])
    weighted, _ = merge_boxes(boxes, scores, 0.54, weighted=True)
    np.testing.assert_allclose(weighted[0], [3.5 / 3, 0, 3.5 / 3 + 10, 10], rtol=1e-6)


@pytest.mark.parametrize(
    ("match", "score"),
    [("iou", 0.1 + 1 - 9 / 11), ("intersection", 0.1 + 1 - 0.9), ("literal", 0.1 + 0.9)],
)
def test_threshold_is_the_largest_score_that_merges(match, score):
    boxes = np.array(PAIR)
    assert len(merge_boxes(boxes, [1.0, 1], score - 1e-9, match=match)[0]) == 2
    assert len(merge_boxes(boxes, [1.0, 1], score + 1e-9, match=match)[0]) == 1


@pytest.mark.parametrize(("apart", "score"), [(0.1, 0.28), (0.25, 0.65), (0.5, 1.17), (1, 2)])
def test_scores_that_the_docstring_names(apart, score):
    boxes = np.array([[0, 0, 1, 1], [apart, 0, 1 + apart, 1.0]])
    assert references.match_score(*boxes) == pytest.approx(score, abs=0.005)


def test_score_of_a_box_in_a_larger_one_that_the_docstring_names():
    assert len(merge_boxes([[0, 0, 4, 4], [1, 1, 3, 3]], [1, 1], 0.75)[0]) == 1
    assert len(merge_boxes([[0, 0, 4, 4], [1, 1, 3, 3]], [1, 1], 0.74)[0]) == 2


@pytest.mark.parametrize("match", ["iou", "intersection", "literal"])
def test_units_do_not_matter(match):
    boxes, scores = random_boxes(80, 3, "float32")
    merged, _, groups = merge_boxes(boxes, scores, 1.1, match=match, return_groups=True)
    large, _, same = merge_boxes(boxes * 1024, scores, 1.1, match=match, return_groups=True)
    np.testing.assert_array_equal(groups, same)
    np.testing.assert_array_equal(large, merged * 1024)


def test_everything_merges_without_a_limit_and_nothing_below_zero():
    boxes, scores = random_boxes(70)
    merged, total = merge_boxes(boxes, scores, np.inf, weighted=True)
    np.testing.assert_allclose(merged, [boxes.mean(0)])
    np.testing.assert_allclose(total, [scores.sum()])
    assert len(merge_boxes(boxes, scores, -0.001)[0]) == 70


def test_equal_boxes_are_zero_apart():
    boxes, scores = grid_boxes(20)
    boxes = np.repeat(np.unique(boxes, axis=0), 3, axis=0)
    scores = np.ones(len(boxes), "float32")
    merged, sums = merge_boxes(boxes, scores, 0)
    np.testing.assert_array_equal(np.unique(merged, axis=0), np.unique(boxes, axis=0))
    np.testing.assert_array_equal(sums, np.full(len(boxes) // 3, 3))


def test_each_class_is_a_call_of_its_own():
    boxes, scores = random_boxes(80)
    classes = np.random.default_rng(1).choice([7, 2, 40], 80)
    merged, sums, kinds, groups = merge_boxes(boxes, scores, 1.0, classes, return_groups=True)
    assert np.all(np.diff(sums) <= 0)
    np.testing.assert_array_equal(classes, np.take(kinds, groups))
    for c in (7, 2, 40):
        alone, total = merge_boxes(boxes[classes == c], scores[classes == c], 1.0)
        np.testing.assert_array_equal(merged[kinds == c], alone)
        np.testing.assert_allclose(sums[kinds == c], total)


def test_outputs_of_every_class_are_summed():
    boxes, _ = random_boxes(60)
    scores = np.random.default_rng(2).uniform(size=(60, 5))
    agree(boxes, scores, 1.0)
    merged, sums, groups = merge_boxes(boxes, scores, 1.0, return_groups=True)
    assert np.all(np.diff(np.max(sums, axis=1)) <= 0)
    for i in range(len(merged)):
        np.testing.assert_allclose(sums[i], scores[groups == i].sum(0))


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_boxes(shape):
    merged, scores, groups = merge_boxes(np.zeros((0, 4)), np.zeros(shape), 1, return_groups=True)
    assert (merged.shape, scores.shape, groups.shape) == ((0, 4), shape, (0,))


def test_boxes_without_area():
    point, line = [5.0, 5, 5, 5], [0.0, 5, 10, 5]
    boxes = [point, point, [6.0, 5, 6, 5], line, line, [0.0, 0, 10, 10]]
    merged, scores = merge_boxes(boxes, np.ones(6), 0.9)
    np.testing.assert_array_equal(merged, boxes)
    # Two that are equal are 0 + 1 - 0 apart; two points have no side to measure a distance by.
    merged, scores, groups = merge_boxes(boxes, np.ones(6), 1, return_groups=True)
    # The one is symmetric about (5, 5), as all that went into it, the other as it was.
    np.testing.assert_array_equal(merged[0][:2] + merged[0][2:], [10, 10])
    assert 0 < merged[0][0] < 5
    np.testing.assert_array_equal(merged[1], boxes[2])
    np.testing.assert_array_equal(scores, [5, 1])
    np.testing.assert_array_equal(groups, [0, 0, 1, 0, 0, 0])
    for match in ("intersection", "literal"):
        merged, scores = merge_boxes(boxes, np.ones(6), np.inf, match=match)
        assert (merged.shape, scores.numpy().tolist()) == ((1, 4), [6])
        assert merged[0][1] + merged[0][3] == 10
        assert 0 < merged[0][0] < merged[0][2] < 10


def test_float16_and_lists_are_worked_out_in_float32():
    boxes = np.array(PAIR, "float16")
    merged, scores = merge_boxes(boxes, np.array([1, 2], "float16"), 0.5)
    assert merged.dtype == scores.dtype == tf.float32
    assert merge_boxes([[0, 0, 1, 1]], [1], 0.5)[0].dtype == tf.float32


def test_any_number_of_boxes_is_one_graph():
    boxes, scores = random_boxes(30, dtype="float32")
    merge_file._compiled.cache_clear()
    for n in (30, 5, 1, 0):
        merge_boxes(boxes[:n], scores[:n], 0.4)
    function = merge_file._compiled(tf.float32, tf.float32, 1, tf.int32, "iou", False)
    assert merge_file._compiled.cache_info().misses == 1
    assert function.experimental_get_tracing_count() == 1


def test_inside_an_exported_graph(tmp_path):
    class Merger(tf.Module):
        @tf.function(
            autograph=False,
            input_signature=[
                tf.TensorSpec((None, 4)),
                tf.TensorSpec((None, 3)),
                tf.TensorSpec((None,), tf.int32),
                tf.TensorSpec(()),
            ],
        )
        def serve(self, boxes, scores, classes, threshold):
            boxes, scores, classes = merge_boxes(boxes, scores, threshold, classes)
            assert (boxes.shape, scores.shape[1]) == ((None, 4), 3)
            return {"boxes": boxes, "scores": scores, "classes": classes}

    tf.saved_model.save(Merger(), str(tmp_path))
    assert b"_XlaMustCompile" not in (tmp_path / "saved_model.pb").read_bytes()
    served = tf.saved_model.load(str(tmp_path)).serve
    for n in (0, 1, 90):
        boxes, _ = random_boxes(n, dtype="float32")
        scores = np.random.default_rng(3).uniform(size=(n, 3)).astype("float32")
        classes = np.arange(n, dtype="int32") % 2
        here = merge_boxes(boxes, scores, 0.9, classes)
        there = served(boxes, scores, classes, tf.constant(0.9))
        for name, value in zip(("boxes", "scores", "classes"), here, strict=True):
            np.testing.assert_array_equal(there[name], value)
    with pytest.raises(tf.errors.InvalidArgumentError, match="boxes` must be finite"):
        served([[0, 0, np.nan, 1]], [[0, 0, 0]], [0], 0.9)
    with pytest.raises(tf.errors.InvalidArgumentError, match="scores` must be as many"):
        served([[0, 0, 1, 1]], [[0, 0, 0]] * 2, [0], 0.9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3, 4], [1], 0.5), r"\(N, 4\). Received: shape \(4,\)"),
        (([[0, 0, 1]], [1], 0.5), r"\(N, 4\). Received: shape \(1, 3\)"),
        (([["a"] * 4], [1], 0.5), "`boxes` must be numbers. Received: dtype string"),
        (([[0, 0, 1, 1], [2, 3]], [1], 0.5), "`boxes` must be an array"),
        (([[0, 0, 1, 1]], [1, 2], 0.5), "Received: 1 boxes, 2 scores"),
        (([[0, 0, 1, 1]], 1.0, 0.5), r"\(N,\) or \(N, C\). Received: shape \(\)"),
        (([[0, 0, 1, 1]], np.ones((1, 0)), 0.5), r"Received: shape \(1, 0\)"),
        (([[0, 0, 1, 1]], [1], 0.5, [1, 2]), "Received: 1 boxes, 2 classes"),
        (([[0, 0, 1, 1]], [1], 0.5, [0.5]), "integers .* Received: float32"),
        (
            ([[0, 0, 1, 1], [0, np.nan, 1, 1]], [1, 1], 0.5),
            r"finite .* \[0.0, nan, 1.0, 1.0\] at 1",
        ),
        (([[0, 0, 1, 2e9]], [1], 0.5), "below 1e"),
        (([[2, 0, 1, 1]], [1], 0.5), "x0 <= x1 and y0 <= y1. Received: .* at 0"),
        (([[0, 0, 1, 1]], [np.inf], 0.5), "`scores` must be finite. Received: inf at 0"),
        (([[0, 0, 1, 1]], [1], np.nan), "Received: threshold=nan"),
        (([[0, 0, 1, 1]], [1], 0.5, None, "giou"), "Received: match='giou'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        merge_boxes(*arguments)
    assert "\n" not in str(caught.value)


def test_candidates_of_the_best_classes():
    scores = np.zeros((2, 3, 4), "float32")
    scores[1, 2, 3], scores[0, 1, 1], scores[..., 0] = 0.9, 0.5, 0.4
    boxes = np.arange(2 * 3 * 4 * 4, dtype="float32").reshape(2, 3, 4, 4)
    chosen, values, classes = top_class_boxes(boxes, scores, k=2)
    np.testing.assert_array_equal(classes, [3] * 6 + [1] * 6)
    for place, (c, (i, j)) in enumerate(itertools.product((3, 1), np.ndindex(2, 3))):
        np.testing.assert_array_equal(chosen[place], boxes[i, j, c])
        assert values[place] == scores[i, j, c]
    shared, values, classes = top_class_boxes(boxes[:, :, 0], scores, k=9)
    np.testing.assert_array_equal(classes, np.repeat([3, 1, 0, 2], 6))
    np.testing.assert_array_equal(shared, np.tile(boxes[:, :, 0].reshape(6, 4), (4, 1)))
    with pytest.raises(ValueError, match="Received: k=0"):
        top_class_boxes(boxes, scores, 0)
    with pytest.raises(ValueError, match=r"Received: shapes \(2, 3\) and"):
        top_class_boxes(boxes[..., 0, 0], scores, 1)
