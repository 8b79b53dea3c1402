"""GLIDE (Nichol et al. 2022), converted from its authors' checkpoints."""
