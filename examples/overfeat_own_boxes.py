"""OverFeat on boxes of your own: images and boxes as arrays in, a detector out.

    python examples/overfeat_own_boxes.py

The arrays here come from `own_scenes`, real digits of three sizes on pieces of photographs, both
scikit-learn's: replace it by a function that returns yours. For more classes, larger nets and
large data sets see the recipes `overfeat_digits` and `overfeat_detect_voc`.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

from tfcnns import detection, models
from tfcnns.detection.evaluation import detect_all, measure_detection
from tfcnns.pipelines.box_source import from_scenes

NAMES = ("0", "1", "7")
SCALES = (48, 64, 96)  # short sides at which images are looked at, pixels
EPOCHS = 16


def own_scenes(count, seed):
    """Images, boxes and labels, a list of `count` each: uint8 (64, 80, 1); (n, 4) edges x0, y0,
    x1, y1 in pixels; (n,) places in NAMES. Scenes of even and odd seeds share no digit."""
    random = np.random.default_rng(seed)
    digits, photographs = load_digits(), load_sample_images().images
    of_class = [digits.images[digits.target == int(name)][seed % 2 :: 2] for name in NAMES]
    images, boxes, labels = [], [], []
    for _ in range(count):
        y, x = random.integers(427 - 64), random.integers(640 - 80)
        image = photographs[random.integers(2)][y : y + 64, x : x + 80].mean(-1) / 2
        edges, classes = [], []
        for left in (0, 40)[: random.integers(1, 3)]:
            label, side = random.integers(3), random.choice([16, 24, 32])
            ink = np.kron(random.choice(of_class[label]), np.ones((side // 8, side // 8)))
            y, x = random.integers(64 - side + 1), left + random.integers(40 - side + 1)
            place = np.s_[y : y + side, x : x + side]
            image[place] = np.maximum(image[place], ink * 255 / 16)
            edges.append((x, y, x + side, y + side))
            classes.append(label)
        images.append(np.uint8(image)[..., None])
        boxes.append(edges)
        labels.append(classes)
    return images, boxes, labels


def main():
    keras.utils.set_random_seed(0)
    source = from_scenes(*own_scenes(600, seed=0), NAMES)
    background = source.classes  # the label of a window without an object: the last class
    model = models.overfeat(
        "digits",
        source.classes + 1,
        head="both",
        width=0.5,
        dropout=0.2,
        preprocessing=models.overfeat_preprocessing(),
    )
    stream = detection.training_batches(source, model, 20, epochs=EPOCHS, scales=SCALES)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, len(stream))),
        loss={
            "boxes": detection.BoxLoss(),
            "classifier": detection.MinedCrossentropy(background, negatives=3),
        },
        metrics={
            "boxes": [detection.BoxIoU()],
            "classifier": [detection.ObjectAccuracy(background)],
        },
    )
    steps = len(stream) // EPOCHS
    model.fit(stream, epochs=EPOCHS, steps_per_epoch=steps, shuffle=False, verbose=2)

    how = {"scales": SCALES, "background": True, "window_score": 0.5, "weighted": True}
    unseen = own_scenes(50, seed=1)
    truths, found = detect_all(model, from_scenes(*unseen, NAMES), how)
    result, _ = measure_detection(truths, found, source.classes)
    boxes, classes, scores = detection.detect(model, unseen[0][0], **how)
    for box, label, score in zip(np.round(boxes), classes, scores, strict=True):
        print(f"first image: a {NAMES[label]} at {box.tolist()}, score {score:.1f}")
    print(f"mean average precision at IoU .5: {100 * result['AP50']:.1f} %")


if __name__ == "__main__":
    main()
