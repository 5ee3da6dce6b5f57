"""Times the merging of boxes against non-maximum suppression, in one run.

    python benchmarks/merge.py [--boxes=1000,10000] [--threshold=0.5] [--rounds=5]

Two sets of boxes: "objects" are what windows say of three objects, nearly all of which become
one box each; "anywhere" are boxes of all sizes at any place. Everything is a tf.function without
XLA in float32. "merge, 5 classes" gives each box one of five classes. keras_cv's layer is told to
keep as many boxes as there are. Merging has to look at every box again after each of up to N - 1
merges, suppression doesn't, so that it can't be as fast; the ratio says what that costs. Rounds are
interleaved, so that a busy machine is unfair to nobody, and the best round counts. Columns: boxes
that are left, time on the clock, processor time of all threads, and both over those of merge: above
1 merging is faster.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags

from tfcnns.detection.merge import merge_boxes
from tfcnns.detection.suppress import suppress_boxes

try:
    import keras_cv
except ImportError:
    keras_cv = None

_BOXES = flags.DEFINE_list("boxes", ["1000", "10000"], "numbers of boxes")
_THRESHOLD = flags.DEFINE_float("threshold", 0.5, "largest match score that merges")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "passes, of which the best counts", lower_bound=1)


def objects(count, rng):
    place = rng.integers(0, 3, count)
    centres = rng.uniform(100, 400, (3, 2))[place] + rng.normal(scale=12, size=(count, 2))
    sides = rng.uniform(60, 200, (3, 2))[place] * np.exp(rng.normal(scale=0.15, size=(count, 2)))
    return centres, sides


def anywhere(count, rng):
    return rng.uniform(0, 500, (count, 2)), rng.uniform(20, 200, (count, 2))


def contestants(boxes, scores, classes):
    cases = {
        "merge": tf.function(lambda: merge_boxes(boxes, scores, _THRESHOLD.value)[0]),
        "merge, weighted": tf.function(
            lambda: merge_boxes(boxes, scores, _THRESHOLD.value, weighted=True)[0]
        ),
        "merge, 5 classes": tf.function(
            lambda: merge_boxes(boxes, scores, _THRESHOLD.value, classes)[0]
        ),
        "suppress": tf.function(lambda: suppress_boxes(boxes, scores, 0.5)[0]),
    }
    if keras_cv:
        layer = keras_cv.layers.NonMaxSuppression(
            "xyxy", False, confidence_threshold=0.0, max_detections=len(boxes)
        )

        def keras_cv_nms():
            found = layer(boxes[None], scores[None, :, None])
            return found["boxes"][0, : found["num_detections"][0]]

        cases["keras_cv NMS"] = tf.function(keras_cv_nms)
    return cases


def main(argv):
    del argv
    print(f"{os.cpu_count()} CPU cores, best of {_ROUNDS.value} rounds")
    for count in map(int, _BOXES.value):
        for scene in (objects, anywhere):
            rng = np.random.default_rng(0)
            centres, sides = scene(count, rng)
            boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
            cases = contestants(
                tf.constant(boxes, tf.float32),
                tf.constant(rng.uniform(0.01, 1, count), tf.float32),
                tf.constant(rng.integers(0, 5, count), tf.int32),
            )
            best, left = {}, {}
            for number in range(_ROUNDS.value + 1):  # the first traces and is beaten by the others
                order = list(cases.items())
                for label, case in order[:: -1 if number % 2 else 1]:
                    time.sleep(0.1)  # let the threads of the one before stop waiting for more
                    clock, processor = time.perf_counter(), time.process_time()
                    left[label] = len(case().numpy())
                    spent = time.perf_counter() - clock, time.process_time() - processor
                    pairs = zip(best.get(label, spent), spent, strict=True)
                    best[label] = [min(pair) for pair in pairs]
            print(f"\n{count:,} boxes, {scene.__name__}")
            print(f"  {'':18s}  left       clock ms         processor ms")
            for label, spent in best.items():
                columns = [
                    f"{1e3 * t:9.1f} {t / o:6.2f}"
                    for t, o in zip(spent, best["merge"], strict=True)
                ]
                print(f"  {label:18s}{left[label]:6d}  " + "    ".join(columns), flush=True)


if __name__ == "__main__":
    app.run(main)
