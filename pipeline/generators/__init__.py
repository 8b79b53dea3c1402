"""Picture generators, one package a kind: train.py learns, sample.py draws."""
