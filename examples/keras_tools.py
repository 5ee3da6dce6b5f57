"""Keras' own tools on the papers' layers: a subclass, a model's file, a clone, a picture.

    python examples/keras_tools.py [FOLDER]

FOLDER keeps model.keras, which a fresh process reads with `import tfcnns.layers` alone, and
model.png, if Graphviz and `pip install pydot` are there to draw it.
"""

import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
from sklearn.datasets import load_digits

from tfcnns.layers import LRN, MaxoutConv

READ = """
import sys, keras, numpy, tfcnns.layers
model = keras.saving.load_model(sys.argv[1] + "/model.keras", safe_mode=True)
numpy.save(sys.argv[1] + "/scores.npy", model.predict(numpy.load(sys.argv[1] + "/images.npy")))
"""


class Block(keras.layers.Layer):
    """A layer of one's own made of the papers' layers."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.maxout = MaxoutConv(filters, kernel_size=3, pieces=2, padding="same")
        self.normalize = LRN()

    def build(self, shape):
        self.maxout.build(shape)
        self.normalize.build(self.maxout.compute_output_shape(shape))

    def call(self, x):
        return self.normalize(self.maxout(x))


def main(folder):
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = np.float32(digits.images[..., None] / 16)

    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(Block(10)(inputs))
    subclassed = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
    subclassed.summary()
    subclassed.compile("adam", "sparse_categorical_crossentropy")
    losses = subclassed.fit(images, digits.target, epochs=5, verbose=0).history["loss"]
    print(f"a layer of one's own: loss {losses[0]:.2f} -> {losses[-1]:.2f}")

    x = LRN()(MaxoutConv(10, kernel_size=3, pieces=2)(inputs))
    model = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(x))
    model.save(folder / "model.keras")
    np.save(folder / "images.npy", images[:50])
    subprocess.run([sys.executable, "-c", READ, folder], check=True, stdout=subprocess.DEVNULL)
    same = np.allclose(np.load(folder / "scores.npy"), model.predict(images[:50], verbose=0))
    print(f"read by a fresh process: {'the same' if same else 'other'} scores")

    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    same = np.array_equal(clone.predict(images, verbose=0), model.predict(images, verbose=0))
    print(f"a clone: {'the same' if same else 'other'} scores")

    try:
        keras.utils.plot_model(model, folder / "model.png", show_shapes=True)
    except ImportError:
        print("no picture: Graphviz or pydot is missing")
    else:
        print(f"a picture: {folder / 'model.png'}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(pathlib.Path(sys.argv[1] if sys.argv[1:] else temporary))
