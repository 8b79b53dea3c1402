"""Foundations: pretrained models in standard folders. One module per kind makes them; all are checked and loaded alike."""

SKIPPED = ("safety_checker", "feature_extractor", "image_encoder")
"""Components that drawing from texts does not use."""
