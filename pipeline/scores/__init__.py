"""Scores of generated pictures: d1, d2 and d3, modules of their metrics' names, and what they share."""
