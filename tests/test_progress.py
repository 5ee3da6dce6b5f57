"""The progress bar: with colours, and without where the user asks for none."""

import contextlib
import io

import pytest

from tfcnns.training.progress import Progress


@pytest.mark.parametrize(("asked", "coloured"), [(None, True), ("", True), ("1", False)])
def test_no_color_is_honoured(monkeypatch, asked, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if asked is not None:
        monkeypatch.setenv("NO_COLOR", asked)
    bar = Progress(epochs=1, steps=2)
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 2})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        bar.on_train_begin()
        bar.on_epoch_begin(0)
        bar.on_train_batch_end(0, {"loss": 0.5})
        bar.on_train_batch_end(1, {"loss": 0.5})
        bar.on_epoch_end(0, {"loss": 0.5})
    text = printed.getvalue()
    assert "2/2" in text
    assert "loss: 0.5000" in text
    assert ("\x1b" in text) == coloured
