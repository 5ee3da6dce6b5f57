"""Training a detector on whole images, negatives chosen on the fly (OverFeat, section 5)."""

import keras
from keras import ops

from tfcnns.layers.draws import SampleSeeds
from tfcnns.layers.hyperparameters import choice, seed_number, whole

from .targets import IGNORED

CHOICES = ("hardest", "random")


def select_negatives(labels, losses, background, count, choose="hardest", seed=None):
    """The windows of each image that show background and are trained on.

    Section 5: "we perform negative training on the fly, by selecting a few interesting negative
    examples per image such as random ones or most offending ones".

    Args:
        labels: (N, h, w) int; those that are `background` can be chosen.
        losses: (N, h, w) float, of each window as it is.
        background: the label.
        count: how many for each image, at most.
        choose: "hardest", those with the largest loss, of equal ones the first; or "random".
        seed: for "random": an integer, or a keras.random.SeedGenerator. With `SampleSeeds` an
            image's choice follows from its place in the global batch.

    Returns: (N, h, w) bool.
    """
    shape = ops.shape(labels)
    places = shape[1] * shape[2]
    background = ops.reshape(labels == background, (-1, places))
    if choose == "random":
        if isinstance(seed, SampleSeeds):
            worth = seed.uniform(shape[0], places)
        else:
            worth = keras.random.uniform(ops.shape(background), seed=seed)
    else:
        worth = ops.nan_to_num(ops.reshape(losses, (-1, places)))
    worth = ops.where(background, worth, -1.0)  # neither losses nor draws are negative
    worth, chosen = ops.top_k(worth, min(count, places))
    chosen = (
        ops.one_hot(chosen, places, dtype="float32") * ops.cast(worth >= 0, "float32")[..., None]
    )
    return ops.reshape(ops.sum(chosen, axis=1) > 0, shape)


@keras.saving.register_keras_serializable(package="tfcnns")
class MinedCrossentropy(keras.losses.Loss):
    """Cross-entropy of all windows with an object and of a few without one, chosen per image.

        L = (1 / n) sum over images of  sum over objects' windows and chosen negatives  -log p[y]

    with n the number of windows in the sum, over the whole batch as in `BoxLoss`. The choice is
    made inside the training step, from the outputs of that step: no passes over the data to
    collect negatives. An image that makes no sum, and a batch without any, gives 0.

    Args:
        background: the label of the background; other labels from 0 are objects, those below 0
            are left out.
        negatives: how many windows of background each image has at most.
        choose: "hardest" or "random", as in `select_negatives`.
        seed: for "random". Replicas and passes choose what one device would.
        **kwargs: name, reduction and whatever else keras.losses.Loss takes.

    y_true: (N, h, w) int. y_pred: (N, h, w, classes) probabilities.
    Raises: ValueError for another choice, or negatives below 0.
    """

    def __init__(
        self, background, negatives=3, choose="hardest", seed=0, name="mined_crossentropy", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.background = whole("background", background, least=0)
        self.negatives = whole("negatives", negatives, least=0)
        self.choose = choice("choose", choose, CHOICES)
        self.seed = seed_number("seed", seed)
        self._seed_generator = SampleSeeds(self.seed) if choose == "random" else None

    def call(self, y_true, y_pred):
        losses = crossentropies(y_true, y_pred)
        labels = ops.cast(y_true, "int32")
        chosen = select_negatives(
            labels,
            ops.stop_gradient(losses),
            self.background,
            self.negatives,
            self.choose,
            self._seed_generator,
        )
        return mean_by_image(losses, chosen | self._objects(labels))

    def terms(self, y_true):
        """How many windows of each image are in the sum, (N,); a part of a batch has to know."""
        labels = ops.cast(y_true, "int32")
        objects, background = (
            ops.sum(ops.cast(windows, "float32"), axis=(1, 2))
            for windows in (self._objects(labels), labels == self.background)
        )
        return objects + ops.minimum(background, self.negatives)

    def _objects(self, labels):
        return (labels > IGNORED) & (labels != self.background)

    def get_config(self):
        return {
            **super().get_config(),
            "background": self.background,
            "negatives": self.negatives,
            "choose": self.choose,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="tfcnns")
class MinedNegatives(keras.metrics.Mean):
    """How many windows of background an image is trained on, on average.

    Args: background, negatives: as in `MinedCrossentropy`, whose choice doesn't change a number.
    """

    def __init__(self, background, negatives=3, name="negatives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.background = whole("background", background, least=0)
        self.negatives = whole("negatives", negatives, least=0)

    def update_state(self, y_true, y_pred, sample_weight=None):
        chosen = select_negatives(
            ops.cast(y_true, "int32"),
            crossentropies(y_true, y_pred),
            self.background,
            self.negatives,
        )
        return super().update_state(ops.sum(ops.cast(chosen, "float32"), axis=(1, 2)))

    def get_config(self):
        return {
            **super().get_config(),
            "background": self.background,
            "negatives": self.negatives,
        }


@keras.saving.register_keras_serializable(package="tfcnns")
class ObjectAccuracy(keras.metrics.Mean):
    """The part of the windows with an object whose best class is the object's.

    Args: background: as in `MinedCrossentropy`.
    """

    def __init__(self, background, name="object_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.background = whole("background", background, least=0)

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = ops.cast(y_true, "int32")
        objects = (labels > IGNORED) & (labels != self.background)
        right = ops.cast(ops.argmax(y_pred, axis=-1), "int32") == labels
        return super().update_state(
            ops.cast(right, "float32"), sample_weight=ops.cast(objects, "float32")
        )

    def get_config(self):
        return {**super().get_config(), "background": self.background}


def crossentropies(labels, probabilities):
    """-log p[label], (N, h, w) float32; of label 0 where the label is below 0."""
    labels = ops.maximum(ops.cast(labels, "int32"), 0)
    return keras.losses.sparse_categorical_crossentropy(labels, ops.cast(probabilities, "float32"))


def mean_by_image(values, chosen):
    """(N,), whose mean is the mean of the chosen values of all images; 0 if none is chosen.

    values: (N, h, w). chosen: bool (N, h, w).
    """
    chosen = ops.cast(chosen, values.dtype)
    values = ops.sum(values * chosen, axis=(1, 2))
    mean = ops.mean(ops.sum(chosen, axis=(1, 2)))
    return values / ops.maximum(mean, 1e-6)
