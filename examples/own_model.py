"""Layers of the papers in a model of your own, trained with `model.fit`.

    python examples/own_model.py

A convolution of micro networks (Network in Network), response normalisation (AlexNet) and maxout
units beside Keras' own layers, on scikit-learn's handwritten digits. The model is saved as a
.keras file and read again.
"""

import pathlib
import tempfile

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tfcnns.layers import LRN, MaxoutDense, MLPConv


def own_model(classes):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
            MLPConv((32, 24), kernel_size=3),
            LRN(),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            MaxoutDense(32, pieces=3),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def main():
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x, x_test, y, y_test = train_test_split(
        digits.images[..., None], digits.target, test_size=400, random_state=0
    )
    model = own_model(classes=10)
    model.summary()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=20, validation_split=0.1, verbose=2)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.keras"
        model.save(file)
        again = keras.saving.load_model(file)
    print(f"test accuracy: {100 * again.evaluate(x_test, y_test, verbose=0)[1]:.1f} %")


if __name__ == "__main__":
    main()
