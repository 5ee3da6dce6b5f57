"""Names close to a mistyped one, for error messages."""

import difflib


def nearest(name, names):
    """ ", did you mean 'a' or 'b'?" for the closest of `names`, else a list of them all."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f", did you mean {' or '.join(map(repr, close))}?"
    return f", expected one of {', '.join(names)}"
