"""Stable Diffusion Image Variation, as it is."""
