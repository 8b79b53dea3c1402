"""Foundations: pretrained models in standard folders. One module per kind makes them; all are checked and loaded alike."""
