"""Attributes of an object that are others for a while."""

import contextlib


@contextlib.contextmanager
def changed(thing, **attributes):
    """Sets attributes of `thing`, which gets its own back afterwards."""
    before = {name: vars(thing)[name] for name in attributes if name in vars(thing)}
    for name, value in attributes.items():
        setattr(thing, name, value)
    try:
        yield
    finally:
        for name in attributes:
            if name in before:
                setattr(thing, name, before[name])
            else:
                delattr(thing, name)
