"""--precision: computing in 16 bits, weights in 32, and no gradient lost to float16's range."""

import functools

import keras
import numpy as np
import pytest
from scripts import call as call_script

from tfcnns import runs, train

RECIPE = """
import keras
from tfcnns.recipes import nin_digits
from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.schedules import MomentumRamp

PAPER = {}

def config():
    return {**nin_digits.config(), "epochs": 3, "batch_size": 64, "size": 8, "dropout": 0.0}

data = nin_digits.data

def model(config):
    from tfcnns.models import nin
    rescale = keras.layers.Rescaling(1 / 255)
    return nin((8, 8, 1), ((32, 16), (32, 10)), (5, 3), preprocessing=[rescale],
        last_activation=None, kernel_initializer="he_normal")

def compile(model, config):
    model.compile(PaperSGD(0.02, 0.8), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return [MomentumRamp(0.8, 0.9, saturate=3)]
"""


call = functools.partial(call_script, train)


@pytest.mark.parametrize(
    ("precision", "strategy"),
    [("float32", "one"), ("mixed_bfloat16", "one"), ("mixed_float16", "mirrored")],
)
def test_a_recipe_learns_in_every_precision(tmp_path, precision, strategy):
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    out = tmp_path / "run"
    flags = (f"--precision={precision}", f"--strategy={strategy}")
    assert call(f"--recipe={recipe}", f"--out={out}", *flags) == 0
    run = runs.open_run(out)
    assert run.settings["flags"]["precision"] == precision
    losses = [row["val_loss"] for row in run.history()]
    assert losses[0] - losses[-1] > 0.05
    model = run.load_model(compiled=True)
    assert all(w.dtype == np.float32 for w in model.get_weights())
    kind = "LossScaleOptimizer" if precision == "mixed_float16" else "PaperSGD"
    assert type(model.optimizer).__name__ == kind
    # Goes on in the same precision without being told.
    assert call(f"--out={out}", "--resume", "--epochs=4") == 0
    assert keras.config.dtype_policy().name == precision
    assert len(run.history()) == 4
