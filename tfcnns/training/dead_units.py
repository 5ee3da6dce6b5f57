"""A callback that says when units have died: a net may look as if it only learned slowly."""

import logging

import keras
import numpy as np


class WarnOfDeadUnits(keras.callbacks.Callback):
    """Says in the first epochs which units give one number whatever the image.

    Where a ReLU is zero on every image, no gradient passes, and it stays so: of NIN's class maps
    that loses the class, or with all of them the net (a loss that stays at the logarithm of the
    number of classes). In other layers some such units are usual; they are named once they are
    half of the layer. A line is logged when what is dead has changed.

    Args:
        data: function of nothing that returns training batches, (images, labels); the first one's
            images are looked at, without dropout.
        epochs: how many epochs are watched; at the end of each.
        every: and after so many updates within them.
        advice: what the line ends with: what may help.

    Example:
        >>> watch = WarnOfDeadUnits(lambda: dataset, advice="lower the rate")
        >>> model.fit(dataset, epochs=20, callbacks=[watch])
    """

    def __init__(self, data, epochs=3, every=200, advice="try another seed, or a lower rate"):
        super().__init__()
        self.data = data
        self.epochs = epochs
        self.every = every
        self.advice = advice
        self._images = None
        self._said = []
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.every == 0:
            self._look()

    def on_epoch_end(self, epoch, logs=None):
        self._look()

    def _look(self):
        if self._epoch >= self.epochs:
            return
        if self._images is None:
            self._images = next(iter(self.data()))[0]
        found = [_said(*layer) for layer in dead_units(self.model, self._images)]
        if found == self._said:
            return
        self._said = found
        log = logging.getLogger("tfcnns")
        if found:
            log.warning(
                "dead units, which give one number on all of %d training images: %s; %s",
                len(self._images),
                "; ".join(found),
                self.advice,
            )
        else:
            log.warning("the dead units live again")


def dead_units(model, images):
    """Layers of a model with units that give one number on all images, everywhere in them.

    Args:
        model: functional keras.Model.
        images: (N, H, W, C), as the model takes them.

    Returns: list of (layer's name, indices of the units, how many it has): the last layer with
        weights if any of its units is dead, others if half of them are.
    """
    layers = [layer for layer in model.layers if layer.trainable_weights]
    probe = keras.Model(model.inputs, {layer.name: layer.output for layer in layers})
    outputs = probe([images], training=False)
    found = []
    for layer in layers:
        # A layer on several devices has an output on each.
        dead = np.concatenate([_constant(part) for part in keras.tree.flatten(outputs[layer.name])])
        few = layer is not layers[-1] and 2 * dead.sum() < len(dead)
        if dead.any() and not few:
            found.append((layer.name, np.flatnonzero(dead), len(dead)))
    return found


def _constant(output):
    axes = tuple(range(len(output.shape) - 1))
    low, high = keras.ops.min(output, axes), keras.ops.max(output, axes)
    return keras.ops.convert_to_numpy(low == high)


def _said(name, units, of):
    if len(units) <= 10:
        return f"{', '.join(map(str, units))} of {name}'s {of}"
    # The number of many would change, and be said, each time.
    return f"{'half or more' if 2 * len(units) >= of else 'more than ten'} of {name}'s {of}"
