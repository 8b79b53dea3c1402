"""Exceptions that end a stage on purpose."""


class InputError(ValueError):
    """Bad input. Its text is one sentence: what is wrong, where, and what is allowed."""


class Superseded(Exception):
    """Another attempt at the same job has begun; this one must not write."""
