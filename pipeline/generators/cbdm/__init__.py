"""Class-balancing diffusion models, trained from scratch on the long-tailed subset."""
