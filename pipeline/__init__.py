"""Counterweight: balance long-tailed image data with generated pictures."""
