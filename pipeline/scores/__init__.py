"""Scores of generated pictures: a module for each kind of scores, one for each metric of a classifier (d1, d2, d3), and filters."""
