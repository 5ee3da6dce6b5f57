"""Scenes to find digits in that are always there: painted here, from what scikit-learn holds.

Real digits (`digits`) of several sizes lie on pieces of its two photographs, or on soft
clutter, between letters, signs and digits on their sides, which are nothing to be found.
Train, validation and test share no digit, not even as a distractor, and no pixel of a
photograph. A scene is a function of seed, split and number alone.
"""

import dataclasses
import functools

import numpy as np
import tensorflow_datasets as tfds
from sklearn.datasets import load_sample_images

from tfcnns.errors import UserError

from . import glyphs
from .box_source import from_scenes
from .digits import CLASS_NAMES, SPLITS, load_digits
from .scene_composer import Materials, compose
from .splits import choose

SIZES = ((96, 96), (72, 96), (96, 72))  # height, width of scenes 0, 3, 6, ...; 1, 4, ...; 2, ...
SCENES = {"train": 4000, "validation": 500, "test": 500}
OBJECTS = (1, 6)
# The photographs, 427 x 640, in four rows of five pieces, 106 x 128: which of them a split has.
PIECE = (106, 128)
PIECES = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}


@functools.cache
def materials(split):
    """What the scenes of "train", "validation" or "test" are painted from: `Materials`."""
    digits, labels = load_digits(split)
    pieces = []
    for photograph in load_sample_images().images:
        grey = (photograph.astype(np.int64) @ [299, 587, 114] + 500) // 1000  # Rec. 601
        pieces.extend(grey.astype(np.uint8)[place] for place in places(split))
    return Materials(glyphs.fields(digits[..., 0] / 255), labels, pieces)


def places(split):
    """Pairs of slices, the pieces of each photograph that belong to a split."""
    height, width = PIECE
    # A row further down, a split's pieces lie two columns further to the left.
    return [
        np.s_[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in range(4)
        for column in range(5)
        if (column + 2 * row) % 5 in PIECES[split]
    ]


def scene(split, number, *, seed=0, sizes=SIZES, objects=OBJECTS):
    """One scene: image, uint8 (H, W, 1), boxes, float32 (n, 4), and labels, int64 (n,).

    Args: as for `load_digit_scenes`; number: which one, from 0.
    """
    words = [seed % 2**32, seed // 2**32 % 2**32, SPLITS.index(split), number]
    random = np.random.RandomState(words)
    return compose(random, materials(split), sizes[number % len(sizes)], objects)


def load_digit_scenes(split, scenes=None, *, seed=0, sizes=SIZES, objects=OBJECTS):
    """Scenes in memory, 1.5 ms each; the same as `DigitScenes` writes to disk.

    Args:
        split: "train", "validation" or "test".
        scenes: how many; None for 4,000, 500 and 500.
        seed: any Python integer.
        sizes: height and width of the scenes in turn, in pixels, 36 to 96.
        objects: fewest and most digits in a scene.

    Returns: three lists: images, uint8 (H, W, 1); boxes, float32 (n, 4), x0, y0, x1, y1 of
        the ink in pixels; labels, int64 (n,), 0 to 9.
    Raises: UserError for anything else, naming the argument.
    """
    scenes = _check(split, scenes, sizes, objects)
    made = [scene(split, n, seed=seed, sizes=sizes, objects=objects) for n in range(scenes)]
    return tuple(map(list, zip(*made, strict=True)))


def open_digit_scenes(
    split, scenes=None, *, seed=0, sizes=SIZES, objects=OBJECTS, channels=1, max_boxes=None
):
    """The same as a source of (image, boxes, labels), see `box_source`.

    Args: as above; split may be "train+validation", too. channels: 1, or 3 for grey repeated.
        max_boxes: how many boxes examples are padded to; None for what `objects` allows.
    """
    if channels not in (1, 3):
        raise UserError(f"channels must be 1 or 3. Received: channels={channels}")
    choose(split, SPLITS, "digit_scenes")
    images, boxes, labels = [], [], []
    for part in split.split("+"):
        made = load_digit_scenes(part, scenes, seed=seed, sizes=sizes, objects=objects)
        for lists, more in zip((images, boxes, labels), made, strict=True):
            lists.extend(more)
    images = [np.repeat(image, channels, axis=-1) for image in images]
    return from_scenes(images, boxes, labels, CLASS_NAMES, max_boxes or objects[1])


def _check(split, scenes, sizes, objects):
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}. Received: split={split!r}")
    scenes = SCENES[split] if scenes is None else scenes
    if scenes < 1:
        raise UserError(f"scenes must be at least 1. Received: scenes={scenes}")
    for size in sizes:
        if len(size) != 2 or not 36 <= min(size) <= max(size) <= 96:
            raise UserError(f"sizes must be pairs of 36 to 96 pixels. Received: {size}")
    if len(objects) != 2 or not 1 <= objects[0] <= objects[1]:
        raise UserError(f"objects must be two numbers from 1, in order. Received: {objects}")
    return scenes


@dataclasses.dataclass(eq=False, kw_only=True)
class DigitScenesConfig(tfds.core.BuilderConfig):
    """The arguments of `load_digit_scenes`; a config of one's own needs a name of its own."""

    scenes: dict = dataclasses.field(default_factory=lambda: dict(SCENES))
    seed: int = 0
    sizes: tuple = SIZES
    objects: tuple = OBJECTS


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """The scenes as a data set of tensorflow-datasets; preparing it downloads nothing.

    Example:
        DigitScenes(data_dir="data").download_and_prepare()
        tfds.load("digit_scenes", split="test", data_dir="data", download=False)
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        DigitScenesConfig(name="all", description="1 to 6 digits in a scene"),
        DigitScenesConfig(name="single", description="one digit in a scene", objects=(1, 1)),
    ]

    def _info(self):
        box = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=CLASS_NAMES),
        }
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                "objects": tfds.features.Sequence(box),
            }
        )
        return self.dataset_info_from_configs(
            description=__doc__,
            features=features,
            homepage="https://archive.ics.uci.edu/dataset/80",
            disable_shuffling=True,  # scene n is the nth example
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.builder_config.scenes}

    def _generate_examples(self, split):
        config = self.builder_config
        scenes = _check(split, config.scenes[split], config.sizes, config.objects)
        for number in range(scenes):
            image, boxes, labels = scene(
                split, number, seed=config.seed, sizes=config.sizes, objects=config.objects
            )
            height, width, _ = image.shape
            relative = boxes[:, [1, 0, 3, 2]] / np.float64([height, width, height, width])
            objects = [
                {"bbox": box, "label": label} for box, label in zip(relative, labels, strict=True)
            ]
            yield number, {"image": image, "objects": objects}
