"""Scores of generated pictures: one module per metric (d1, d2, d3), and their shared code."""
