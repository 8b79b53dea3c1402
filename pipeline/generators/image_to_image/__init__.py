"""Text-to-image models of diffusers that start from real pictures."""
