"""What surrounds `model.fit`: strategies, update rules, checkpoints and resume, the run's files.

`make_strategy`, `PaperSGD` and `LARS` are here for users' own code; the rest is in the modules.
"""

import importlib

_HOME = {"LARS": "lars", "PaperSGD": "paper_sgd", "make_strategy": "strategies"}
__all__ = sorted(_HOME)


def __getattr__(name):
    """Finds the public names where they are made, when asked: the scripts start before Keras."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
