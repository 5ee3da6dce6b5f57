"""Fine-tuning on a folder of images: a trunk that has learnt something else, and new classes.

    python examples/finetune_folder.py [FOLDER]

FOLDER has a subfolder of images for each class, and half of them are learnt from; without it one
is written, with scikit-learn's digits 5 to 9 as PNG files. The trunk comes from a net that learns
the digits 0 to 4 first; your own may come from a run, through `keras.saving.load_model`.
"""

import pathlib
import sys
import tempfile

import keras
import numpy as np
from sklearn.datasets import load_digits

from tfcnns.models import nin_mnist

SIZE = 16  # pixels


def trained_trunk():
    """A Network in Network without its top, its weights learnt on the digits 0 to 4."""
    digits = load_digits()
    known = digits.target < 5
    x = np.kron(digits.images[known], np.ones((2, 2)))[..., None] * (255 / 16)
    arguments = {
        "input_shape": (SIZE, SIZE, 1),
        "width": 0.5,
        "dropout": 0.2,
        "kernel_initializer": "he_normal",
        "last_activation": None,
        "preprocessing": [keras.layers.Rescaling(1 / 255, name="scale")],
    }
    model = nin_mnist(classes=5, **arguments)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, digits.target[known], epochs=4, verbose=2)
    trunk = nin_mnist(include_top=False, pooling="avg", **arguments)
    for layer in trunk.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return trunk


def digits_folder(folder):
    """Writes the digits 5 to 9 below `folder`, 40 files of each."""
    digits = load_digits()
    for label in range(5, 10):
        (folder / str(label)).mkdir()
        for i, image in enumerate(digits.images[digits.target == label][:40]):
            keras.utils.save_img(folder / str(label) / f"{i:02}.png", image[..., None] * 16)


def main(folder):
    options = {"image_size": (SIZE, SIZE), "color_mode": "grayscale", "validation_split": 0.5}
    train, test = keras.utils.image_dataset_from_directory(
        folder, subset="both", seed=0, batch_size=16, **options
    )
    trunk = trained_trunk()
    trunk.trainable = False
    outputs = keras.layers.Dense(len(train.class_names), activation="softmax")(trunk.output)
    model = keras.Model(trunk.input, outputs)

    def fit(rate, epochs):
        model.compile(
            keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        model.fit(train, epochs=epochs, shuffle=False, verbose=2)
        return 100 * model.evaluate(test, verbose=0)[1]

    print(f"test accuracy, new classes on a fixed trunk: {fit(0.03, epochs=15):.1f} %")
    trunk.trainable = True
    print(f"test accuracy, trunk fine-tuned: {fit(0.001, epochs=25):.1f} %")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as own:
            digits_folder(pathlib.Path(own))
            main(own)
