"""Foundations: pretrained models in standard folders. One module per kind makes them; all are checked and loaded alike."""

SAFETY_CHECKER = "safety_checker"
"""The component that is fetched and loaded only if it is asked for."""
