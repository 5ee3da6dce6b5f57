"""The scripts of the package, called in the process of the tests."""

import pytest


def call(script, *flags):
    """The exit code of a script, the module, with these flags: texts, paths or numbers."""
    with pytest.raises(SystemExit) as left:
        script.run(["script", *map(str, flags)])
    return left.value.code or 0
