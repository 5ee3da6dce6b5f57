"""What a loss draws, and an optimiser's averages, go on after a stop as if there had been none."""

import functools
import os

import numpy as np
import tensorflow as tf
from scripts import call as call_script

from tfcnns import runs, train
from tfcnns.training import checkpoints

# Chosen at random, the negatives of each step and of each epoch's validation are others.
RECIPE = """
import os
import keras
import numpy as np
import tensorflow as tf
from tfcnns.detection.negatives import MinedCrossentropy

PAPER = {}

def config():
    return {"epochs": 3, "batch_size": 4}

def data(config, split, worker=0, workers=1):
    random = np.random.RandomState(0)
    x = random.uniform(size=(16, 3, 3, 2)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, random.randint(1, 3, (16, 3, 3)))).batch(4)

def model(config):
    return keras.Sequential(
        [keras.Input((3, 3, 2)), keras.layers.Dense(3, "softmax", kernel_initializer="ones")]
    )

class Interrupt(keras.callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count == int(os.environ.get("INTERRUPT_AT", 0)):
            os.kill(os.getpid(), 2)

def compile(model, config):
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, MinedCrossentropy(2, 2, "random", seed=3))
    return [Interrupt()]
"""

call = functools.partial(call_script, train)


def arrays(run):
    reader = tf.train.load_checkpoint(str(checkpoints.latest(run.checkpoints) / "tensors"))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names}


def test_random_negatives_and_averages_go_on_to_the_bit(tmp_path, monkeypatch):
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    assert call(f"--recipe={recipe}", f"--out={tmp_path}/whole") == 0
    monkeypatch.setitem(os.environ, "INTERRUPT_AT", "6")  # the second step of the second epoch
    assert call(f"--recipe={recipe}", f"--out={tmp_path}/parts") == 130
    monkeypatch.delitem(os.environ, "INTERRUPT_AT")
    assert call(f"--out={tmp_path}/parts", "--resume") == 0
    whole, parts = (runs.open_run(tmp_path / name) for name in ("whole", "parts"))
    ends = arrays(whole)
    assert any(name.startswith("seeds") for name in ends)
    for name, value in ends.items():
        np.testing.assert_array_equal(value, arrays(parts)[name], err_msg=name)
    for row, other in zip(whole.history(), parts.history(), strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    kernels = [run.load_model().get_weights()[0] for run in (whole, parts)]
    np.testing.assert_array_equal(*kernels)
    # The run ends with the averages, of which the last checkpoint is the last value.
    assert np.abs(kernels[0] - ends["model/0/.ATTRIBUTES/VARIABLE_VALUE"]).max() > 1e-3
