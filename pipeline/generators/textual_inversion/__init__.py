"""Textual inversion (Gal et al. 2022): vectors for each class in the place of its name, learned from its real pictures."""
