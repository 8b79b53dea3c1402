"""Picture generators, one package per kind: train.py trains, sample.py draws."""
