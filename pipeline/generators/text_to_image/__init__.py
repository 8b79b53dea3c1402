"""Text-to-image models of diffusers, as they are."""
