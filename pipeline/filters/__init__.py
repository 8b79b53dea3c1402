"""Scores of generated pictures, one module a metric; the module's name is the metric's."""
