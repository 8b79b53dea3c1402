"""The one exception that is meant for people."""


class InputError(ValueError):
    """Bad input. Its text is one sentence: what is wrong, where, and what is allowed."""
