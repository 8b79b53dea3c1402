"""Prompts, one module per kind: each has `texts(settings, names)`."""
