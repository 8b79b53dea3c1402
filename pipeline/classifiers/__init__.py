"""Classifiers: backbones, losses and the training loop."""

AT_ONCE = 500
"""Pictures that a trained classifier looks at together; the last batch is padded and takes as long as the others."""
