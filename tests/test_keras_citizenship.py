"""Our layers and models where Keras' own are used: files, clones, subclasses, preprocessing,
callbacks, keras_cv. Nothing here but `import tfcnns` is between them."""

import csv
import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns import models
from tfcnns.layers import LRN, MaxoutConv, MLPConv, TowerConv
from tfcnns.pipelines.digits import load_digits
from tfcnns.training import PaperSGD

# Builders with arguments for small nets; together they hold most layers of the package.
NETS = {
    "alexnet": {"input_shape": (67, 67, 3), "classes": 4, "width": 1 / 16, "order": "code2012",
                "same_map_norm": True, "lrn_across_towers": False},
    "alexnet_cifar10": {"width": 0.05},
    "maxout_mnist": {"width": 0.05},
    "nin_mnist": {"width": 0.05},
    "overfeat": {"variant": "digits", "head": "both", "width": 0.1, "input_shape": (36, 44, 1),
                 "activation": "threshold"},
}  # fmt: skip


def small(name):
    return getattr(models, name)(**NETS[name])


def batch_for(model, count=2):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).random(shape).astype("float32")


def flat(outputs):
    return {str(i): np.asarray(x) for i, x in enumerate(keras.tree.flatten(outputs))}


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits("train")
    return images[:256].astype("float32") / 255, labels[:256]


def own_net(*before):
    """A user's net with layers of ours among Keras' own."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *before,
            MLPConv((16, 12), 3),
            LRN(),
            MaxoutConv(8, 3, pieces=2),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def compiled(model, optimizer="adam", **kwargs):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **kwargs)
    return model


_LOAD = """
import pathlib, sys
import keras, numpy as np
import tfcnns.layers
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    model = keras.saving.load_model(file, safe_mode=True)
    with np.load(file.with_suffix(".npz")) as x:
        outputs = model.predict_on_batch(x["x"])
    outputs = {str(i): np.asarray(y) for i, y in enumerate(keras.tree.flatten(outputs))}
    np.savez(file.with_suffix(".out.npz"), **outputs)
"""


def test_files_load_in_a_process_that_knows_the_layers_alone(tmp_path):
    expected = {}
    for name in NETS:
        model = small(name)
        x = batch_for(model)
        expected[name] = flat(model.predict_on_batch(x))
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", x=x)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, tmp_path], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    for name, outputs in expected.items():
        with np.load(tmp_path / f"{name}.out.npz") as found:
            for key, output in outputs.items():
                np.testing.assert_allclose(found[key], output, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", NETS)
def test_a_clone_is_the_same_net_with_its_own_weights(name):
    model = small(name)
    clone = keras.models.clone_model(model)
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    clone.set_weights(model.get_weights())
    x = batch_for(model)
    here, there = flat(model.predict_on_batch(x)), flat(clone.predict_on_batch(x))
    for key in here:
        np.testing.assert_allclose(there[key], here[key], rtol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_a_summary_names_every_layer_and_counts_its_weights(name):
    model, lines = small(name), []
    model.summary(print_fn=lambda text, line_break=None: lines.append(text), line_length=160)
    text = "\n".join(lines)
    for layer in model.layers:
        assert layer.name in text
    assert f"Total params: {model.count_params():,}" in text
    assert "?" not in text  # an output whose shape Keras couldn't tell


def test_models_are_drawn_as_graphs():
    pytest.importorskip("pydot", reason="needs pydot: pip install -e .[test]")
    model = small("alexnet")
    dot = keras.utils.model_to_dot(model, show_shapes=True, show_layer_names=True)
    text = dot.to_string()
    for layer in model.layers:
        assert layer.name in text


@keras.saving.register_keras_serializable(package="test_keras_citizenship")
class OwnModel(keras.Model):
    """Subclassed, as users write them: layers made in __init__, tied together in call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = TowerConv(8, 3, towers=2, connected=True, activation="relu")
        self.norm = LRN()
        self.second = MLPConv((8, 10), 3, last_activation=None)
        self.pool = keras.layers.GlobalAveragePooling2D()

    def call(self, x):
        return keras.ops.softmax(self.pool(self.second(self.norm(self.first(x)))))


def test_a_subclass_trains_and_is_saved(digits, tmp_path):
    x, y = digits
    model = compiled(OwnModel())
    losses = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    model.save(tmp_path / "own.keras")
    again = keras.saving.load_model(tmp_path / "own.keras", safe_mode=True)
    np.testing.assert_allclose(again.predict_on_batch(x[:4]), model.predict_on_batch(x[:4]), 1e-5)


def test_preprocessing_layers_stand_in_the_model(digits, tmp_path):
    x, y = digits
    before = [
        keras.layers.Rescaling(255.0),
        keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=1),
        keras.layers.RandomRotation(0.05, fill_mode="constant", seed=2),
        keras.layers.Rescaling(1 / 255),
    ]
    model = compiled(own_net(*before))
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "it.keras")
    again = keras.saving.load_model(tmp_path / "it.keras", safe_mode=True)
    plain = own_net()  # at test time the random layers do nothing
    plain.set_weights([w for layer in again.layers[4:] for w in layer.get_weights()])
    np.testing.assert_allclose(
        again.predict_on_batch(x[:8]), plain.predict_on_batch(x[:8]), rtol=1e-3, atol=1e-5
    )


def test_preprocessing_layers_and_ours_map_over_tf_data(digits):
    from tfcnns.layers import GlobalContrastNormalization, RandomWindow

    x, y = digits
    augment = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=0),
            GlobalContrastNormalization(),
            RandomWindow(1, seed=0),
        ]
    )
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(64)
    stream = stream.map(lambda images, labels: (augment(images, training=True), labels))
    images, _ = next(iter(stream))
    assert images.shape == (64, 8, 8, 1)
    assert not np.array_equal(images, augment(x[:64], training=False))
    assert np.isfinite(
        compiled(own_net()).fit(stream, shuffle=False, verbose=0).history["loss"]
    ).all()


def test_callbacks_and_steps_per_execution(digits, tmp_path):
    x, y = digits

    def fit(epochs, **more):
        keras.utils.set_random_seed(0)
        model = compiled(own_net(), PaperSGD(0.05, weight_decay=1e-4), steps_per_execution=2)
        callbacks = [
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 / (epoch + 1)),
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
            keras.callbacks.EarlyStopping(patience=1, min_delta=math.inf),  # nothing is better
            keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True),
            keras.callbacks.TensorBoard(tmp_path / "logs"),
            keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False),
        ]
        result = model.fit(
            x, y, batch_size=32, epochs=epochs, validation_split=0.25, verbose=0,
            callbacks=callbacks, **more,
        )  # fmt: skip
        return model, result

    fit(1)
    model, result = fit(9)  # goes on after the epoch that is done, until patience ends
    assert result.epoch == [1, 2]
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05 / 3)
    with open(tmp_path / "log.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.05, 0.025, 0.05 / 3])
    again = keras.saving.load_model(tmp_path / "best.keras")  # with the optimiser
    assert isinstance(again.optimizer, PaperSGD)
    assert int(again.optimizer.iterations) in (6, 12, 18)  # of 6 steps an epoch
    assert list((tmp_path / "logs").rglob("events*"))


def test_plateaus_cut_the_rate_of_the_papers_rule(digits):
    x, y = digits
    model = compiled(own_net(), PaperSGD(0.05))
    cut = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=math.inf)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[cut])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05 * 0.1**2)


def test_keras_cv_layers_stand_beside_ours(digits):
    keras_cv = pytest.importorskip("keras_cv")
    x, y = digits
    model = own_net(keras_cv.layers.RandomFlip(), keras_cv.layers.RandomCutout(0.2, 0.2))
    losses = compiled(model).fit(x, y, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    mix = keras_cv.layers.MixUp(seed=0)  # in tf.data; outside of it, it fails under Keras 3
    stream = tf.data.Dataset.from_tensor_slices({"images": x, "labels": np.eye(10)[y]}).batch(32)
    mixed = next(iter(stream.map(lambda batch: mix(batch, training=True))))
    np.testing.assert_allclose(np.sum(mixed["labels"], axis=1), 1, rtol=1e-5)
    assert model.predict_on_batch(mixed["images"]).shape == (32, 10)


def test_keras_cv_reads_our_boxes():
    keras_cv = pytest.importorskip("keras_cv")
    from tfcnns.detection import detect
    from tfcnns.detection.iou import iou

    image = np.random.default_rng(0).integers(0, 256, (50, 60, 1)).astype("uint8")
    boxes, _, _ = detect(small("overfeat"), image, k=2, join="none")
    assert len(boxes) > 1
    same = keras_cv.bounding_box.compute_iou(boxes, boxes, bounding_box_format="xyxy")
    np.testing.assert_allclose(same, iou(boxes, boxes), atol=1e-4)  # float32 against float64
    relative = keras_cv.bounding_box.convert_format(
        boxes, source="xyxy", target="rel_xyxy", images=image
    )
    assert np.asarray(relative).max() <= 1 + 1e-6
    back = keras_cv.bounding_box.convert_format(
        relative, source="rel_xyxy", target="xyxy", images=image
    )
    np.testing.assert_allclose(back, boxes, atol=1e-3)
