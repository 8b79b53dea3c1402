"""Accuracy by shot, and the quality of generated pictures."""
