"""Reading the first stage's history, and maxout's two stages end to end on a toy problem."""

import keras
import numpy as np
import pytest

from tfcnns.training.paper_sgd import PaperSGD
from tfcnns.training.stages import best_epoch
from tfcnns.training.watching import StopWhenMatched


@pytest.fixture
def history(tmp_path):
    file = tmp_path / "history.csv"
    file.write_text(
        "epoch,loss,val_loss,val_accuracy,learning_rate\n"
        "1,2.0,nan,0.5,0.1\n"
        "2,1.5,0.75,0.5,0.1\n"
        "3,1.0,0.5,0.75,0.05\n"
        "4,0.5,0.5,0.75,0.05\n"
        "5,0.25,,,0.05\n"
    )
    return file


def test_the_first_of_the_best_rows(history):
    row = {"epoch": 3, "loss": 1.0, "val_loss": 0.5, "val_accuracy": 0.75, "learning_rate": 0.05}
    assert best_epoch(history) == row
    assert best_epoch(history, "val_accuracy") == row
    assert best_epoch(history, "loss") == {"epoch": 5, "loss": 0.25, "learning_rate": 0.05}


def test_a_missing_column_is_named(history):
    with pytest.raises(ValueError, match=r"no values of 'val_error'; its columns are \['epoch'"):
        best_epoch(history, "val_error")
    history.write_text("epoch,loss\n")
    with pytest.raises(ValueError, match=r"no values of 'loss'; its columns are \[\]"):
        best_epoch(history, "loss")


def test_the_second_stage_ends_when_validation_has_come_down_to_training():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 30)).astype("float32")
    y = x @ rng.normal(size=(30, 1)).astype("float32")  # 40 examples can be fitted, not guessed
    train, validation = (x[:30], y[:30]), (x[30:], y[30:])
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1)])
    model.compile(PaperSGD(0.1, momentum=0.5), "mse")

    model.fit(*train, epochs=30, verbose=0)
    target = model.evaluate(*train, return_dict=True, verbose=0)["loss"]
    assert model.evaluate(*validation, return_dict=True, verbose=0)["loss"] > 2 * target

    second = model.fit(
        x,
        y,
        epochs=200,
        validation_data=validation,
        callbacks=[StopWhenMatched(target)],
        verbose=0,
    ).history["val_loss"]
    assert 1 < len(second) < 200
    assert second[-1] <= target < second[-2]
