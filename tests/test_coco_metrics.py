"""coco_metrics against COCOeval called directly, and by hand; COCO's files there and back."""

import contextlib
import io
import json

import numpy as np
import pytest
import references_detection as references
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfcnns.detection.coco_format import read_detections, to_ground_truth, write_detections
from tfcnns.detection.coco_metrics import coco_metrics
from tfcnns.errors import UserError

NAMES = [
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
]


def xywh(box):
    x0, y0, x1, y1 = map(float, box)
    return [x0, y0, x1 - x0, y1 - y0]


def evaluated(tmp_path, truths, detections, classes, limits=(1, 10, 100)):
    """COCOeval the way its own demo calls it: files, loadRes, evaluate, accumulate, summarize."""
    annotations, results = [], []
    for image, (truth, found) in enumerate(zip(truths, detections, strict=True)):
        for box, c, crowd in zip(truth["boxes"], truth["classes"], truth["crowd"], strict=True):
            annotations.append(
                {
                    "id": 1 + len(annotations),
                    "image_id": image,
                    "category_id": int(c),
                    "bbox": xywh(box),
                    "area": xywh(box)[2] * xywh(box)[3],
                    "iscrowd": int(crowd),
                }
            )
        for box, c, score in zip(found["boxes"], found["classes"], found["scores"], strict=True):
            results.append(
                {
                    "image_id": image,
                    "category_id": int(c),
                    "bbox": xywh(box),
                    "score": float(score),
                }
            )
    dataset = {
        "info": {},
        "images": [{"id": i} for i in range(len(truths))],
        "categories": [{"id": c} for c in range(classes)],
        "annotations": annotations,
    }
    (tmp_path / "truth.json").write_text(json.dumps(dataset))
    (tmp_path / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "truth.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "bbox")
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("seed", range(4))
def test_equals_cocoeval(tmp_path, seed):
    truths, detections = references.random_scenes(25, 3, seed)
    expected = evaluated(tmp_path, truths, detections, 3)
    metrics = coco_metrics(truths, detections, classes=3)
    assert all(value >= 0 for value in expected.stats)  # crowds and all sizes are there
    np.testing.assert_array_equal([metrics[name] for name in NAMES], expected.stats)
    curves = metrics["curves"]
    np.testing.assert_array_equal(curves["precision"], expected.eval["precision"][..., 0, 2])
    for c in range(3):
        one = metrics["per_class"][c]
        assert one["AP"] == pytest.approx(expected.eval["precision"][:, :, c, 0, 2].mean())
        assert one["AP50"] == pytest.approx(expected.eval["precision"][0, :, c, 0, 2].mean())
        assert one["AP75"] == pytest.approx(expected.eval["precision"][5, :, c, 0, 2].mean())
        assert one["AR"] == pytest.approx(expected.eval["recall"][:, c, 0, 2].mean())


def test_equals_keras_cv():
    keras_cv = pytest.importorskip("keras_cv")
    truths, detections = references.random_scenes(12, 3, 10)
    rng = np.random.default_rng(0)
    for truth, found in zip(truths, detections, strict=True):
        truth["crowd"] = np.zeros(len(truth["classes"]))  # it has none
        found["scores"] = rng.uniform(size=len(found["scores"]))  # its ties go otherwise

    def padded(images, key):
        longest = max(len(one[key]) for one in images)
        batch = np.full((len(images), longest, *images[0][key].shape[1:]), -1, "float32")
        for row, one in zip(batch, images, strict=True):
            row[: len(one[key])] = one[key]
        return batch

    metric = keras_cv.metrics.BoxCOCOMetrics("xyxy", evaluate_freq=1)
    true = {key: padded(truths, key) for key in ("boxes", "classes")}
    found = {key: padded(detections, key) for key in ("boxes", "classes", "scores")}
    metric.update_state(true, {"confidence": found.pop("scores"), **found})
    theirs = [float(value) for value in metric.result(force=True).values()]
    metrics = coco_metrics(truths, detections)
    np.testing.assert_allclose([metrics[name] for name in NAMES], theirs, atol=1e-6)


def test_limits_of_detections(tmp_path):
    truths, detections = references.random_scenes(20, 2, 5)
    expected = evaluated(tmp_path, truths, detections, 2, (1, 2, 3)).eval
    metrics = coco_metrics(truths, detections, max_detections=(1, 2, 3))
    assert metrics["AP"] == expected["precision"][..., 0, 2].mean()
    for i in range(3):
        assert metrics[f"AR_{i + 1}"] == expected["recall"][..., 0, i].mean()


def test_one_threshold():
    truths, detections = references.random_scenes(20, 2, 6)
    metrics = coco_metrics(truths, detections, iou_thresholds=[0.5])
    assert metrics["AP"] == metrics["AP50"] == coco_metrics(truths, detections)["AP50"]
    assert metrics["AP75"] is None


def test_a_class_without_truths_does_not_count(tmp_path):
    truths, detections = references.random_scenes(12, 2, 7)
    metrics = coco_metrics(truths, detections, classes=4)
    np.testing.assert_array_equal(
        [metrics[name] for name in NAMES], evaluated(tmp_path, truths, detections, 4).stats
    )
    assert metrics["per_class"][3]["AP"] is None
    assert np.isnan(metrics["curves"]["precision"][..., 3]).all()


def test_by_hand():
    # One of two is found at IoU .8 (the first seven thresholds), after a detection of nothing.
    truths = [{"boxes": [[0, 0, 10, 10], [50, 50, 60, 60]], "classes": [0, 0]}]
    detections = [
        {"boxes": [[0, 0, 10, 8], [80, 80, 90, 90]], "classes": [0, 0], "scores": [0.5, 0.9]}
    ]
    metrics = coco_metrics(truths, detections)
    ap = 0.5 * 51 / 101  # precision 1 / 2 at recall 0, .01, ..., .5
    assert metrics["AP50"] == pytest.approx(ap)
    assert metrics["AP"] == pytest.approx(0.7 * ap)
    assert metrics["AR_1"] == 0
    assert metrics["AR_10"] == pytest.approx(0.7 * 0.5)
    assert metrics["AP_large"] is None
    assert (metrics["per_class"][0]["truths"], metrics["per_class"][0]["detections"]) == (2, 2)


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    truth = {"boxes": [[0, 0, 10, 10], [20, 20, 90, 90]], "classes": [0, 0], "crowd": [0, 1]}
    found = {"boxes": [[0, 0, 10, 10]] + [[30, 30, 40, 40]] * 3, "classes": [0] * 4}
    found["scores"] = [0.1, 0.9, 0.8, 0.7]
    metrics = coco_metrics([truth], [found])
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["per_class"][0]["truths"] == 1
    assert coco_metrics([{**truth, "crowd": [0, 0]}], [found])["AP"] < 0.2


def test_areas_choose_the_size():
    truth = {"boxes": [[0, 0, 40, 40]], "classes": [0], "areas": [1000.0]}
    found = {"boxes": [[0, 0, 40, 40]], "classes": [0], "scores": [1]}
    metrics = coco_metrics([truth], [found])
    assert metrics["AP_small"] == pytest.approx(1)
    assert metrics["AP_medium"] is None


@pytest.mark.parametrize("images", [0, 2])
def test_nothing_at_all(images):
    empty = {"boxes": [], "classes": [], "scores": []}
    metrics = coco_metrics([empty] * images, [empty] * images)
    assert all(metrics[name] is None for name in NAMES)
    assert metrics["per_class"] == {}


def test_nothing_found_and_boxes_without_area():
    truth = {"boxes": [[0, 0, 10, 10], [5, 5, 5, 5]], "classes": [0, 1]}
    empty = {"boxes": np.zeros((0, 4)), "classes": [], "scores": []}
    assert coco_metrics([truth], [empty])["AP"] == 0
    metrics = coco_metrics([truth], [{**truth, "scores": [1, 1]}])
    # A box without area has an IoU of 0 even with itself.
    assert [metrics["per_class"][c]["AP"] for c in (0, 1)] == pytest.approx([1, 0])
    assert metrics["AP"] == pytest.approx(0.5)


def test_says_nothing(capfd):
    coco_metrics(*references.random_scenes(3, 2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": [[0, 0, 1]]}, r"detections\[1\]: boxes must be \(n, 4\). Received"),
        ({"boxes": [[2, 0, 1, 1]]}, r"x0 <= x1 .* Received: \[2.0, 0.0, 1.0, 1.0\]"),
        ({"boxes": [[0, np.nan, 1, 1]]}, "must be finite"),
        ({"classes": [0, 1]}, r"classes must be \(1,\), as the boxes. Received: \(2,\)"),
        ({"classes": [0.5]}, "integers from 0"),
        ({"classes": [-1]}, "integers from 0"),
        ({"scores": [np.nan]}, "scores must be finite"),
    ],
)
def test_refuses_detections(changes, message):
    good = {"boxes": [[0, 0, 1, 1]], "classes": [0], "scores": [1.0]}
    with pytest.raises(ValueError, match=message):
        coco_metrics([good, good], [good, {**good, **changes}])


def test_refuses_arguments():
    good = {"boxes": [[0, 0, 1, 1]], "classes": [0], "scores": [1.0]}
    with pytest.raises(ValueError, match="Received: 1 truths, 2 detections"):
        coco_metrics([good], [good, good])
    with pytest.raises(ValueError, match=r"truths\[0\] must have boxes, classes. Received: boxes"):
        coco_metrics([{"boxes": []}], [good])
    with pytest.raises(ValueError, match=r"must have boxes, classes and scores. Received"):
        coco_metrics([good], [{"boxes": [], "classes": []}])
    with pytest.raises(ValueError, match="three ascending"):
        coco_metrics([good], [good], max_detections=(1, 100, 10))
    for thresholds in ([], [0.7, 0.5], [0.0], [1.5]):
        with pytest.raises(ValueError, match="`iou_thresholds` must be"):
            coco_metrics([good], [good], iou_thresholds=thresholds)


def test_files_there_and_back(tmp_path):
    _, detections = references.random_scenes(6, 3, 8)
    path = tmp_path / "detections.json"
    write_detections(path, detections, image_ids=range(10, 16), category_ids=[1, 3, 90])
    first = json.loads(path.read_text())[0]
    assert sorted(first) == ["bbox", "category_id", "image_id", "score"]
    assert {result["category_id"] for result in json.loads(path.read_text())} == {1, 3, 90}
    back = read_detections(path, range(10, 16), [1, 3, 90])
    for one, other in zip(back, detections, strict=True):
        np.testing.assert_allclose(one["boxes"], other["boxes"], rtol=1e-12)
        np.testing.assert_array_equal(one["classes"], other["classes"])
        np.testing.assert_array_equal(one["scores"], other["scores"])
    assert list(tmp_path.iterdir()) == [path]


def test_pycocotools_reads_both_files(tmp_path):
    truths, detections = references.random_scenes(6, 3, 9)
    names = [f"{i}.jpg" for i in range(6)]
    write_detections(tmp_path / "detections.json", detections, names, [1, 3, 90])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"info": {}, **to_ground_truth(truths, names, [1, 3, 90])}
        truth.createIndex()
        found = truth.loadRes(str(tmp_path / "detections.json"))
    for name, one in zip(names, detections, strict=True):
        results = found.loadAnns(found.getAnnIds(imgIds=[name]))
        np.testing.assert_array_equal([r["score"] for r in results], one["scores"])
        np.testing.assert_array_equal([r["bbox"] for r in results], [*map(xywh, one["boxes"])])
    assert to_ground_truth([], classes=2)["categories"] == [{"id": 0}, {"id": 1}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "must hold a list"),
        ("[", "isn't JSON"),
        ('[{"image_id": 0}]', "result 0 must have image_id, category_id, bbox, score"),
        (
            '[{"image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]',
            "image 5, which isn't in the list",
        ),
        (
            '[{"image_id": 0, "category_id": 2, "bbox": [0, 0, 1, 1], "score": 1}]',
            "category 2, which has no class",
        ),
        ('[{"image_id": 0, "category_id": 1, "bbox": [0, 0, -1, 1], "score": 1}]', "x0 <= x1"),
        ('[{"image_id": 0, "category_id": 1, "bbox": [0, 0, 1], "score": 1}]', "bad.json: "),
        ('[{"image_id": 0, "category_id": 1, "bbox": 7, "score": 1}]', "bad.json: "),
    ],
)
def test_names_a_bad_file(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_detections(path, [0], [1])
    assert str(path) in str(caught.value)


def test_names_a_file_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(UserError, match=r"can't read .*none.json: No such file"):
        read_detections(tmp_path / "none.json", [])
    with pytest.raises(UserError, match=r"can't write .*none"):
        write_detections(tmp_path / "none" / "detections.json", [])
    with pytest.raises(ValueError, match=r"class 3 has no id. Received: 2 category ids"):
        write_detections(
            tmp_path / "d.json",
            [{"boxes": [[0, 0, 1, 1]], "classes": [3], "scores": [1]}],
            category_ids=[1, 2],
        )
    with pytest.raises(ValueError, match="expected 2 different image ids"):
        write_detections(tmp_path / "d.json", [{"boxes": [], "classes": [], "scores": []}] * 2, [4])
