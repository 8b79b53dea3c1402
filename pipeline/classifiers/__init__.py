"""Classifiers: backbones, losses and the training loop."""
