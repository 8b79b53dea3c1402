"""The place of learned vectors in a text."""

LEARNED = "*"
"""Stands in a text for the vectors that a generator of kind textual_inversion has learned of the class."""
