"""The one error that a script shows as a single line instead of a traceback."""


class UserError(ValueError):
    """What the user gave can't be used; the message is one line naming it.

    Scripts print the message and end with exit code 2. Everything else that goes
    wrong is a bug and keeps its traceback.
    """
