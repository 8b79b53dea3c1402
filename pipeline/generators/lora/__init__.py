"""Low-rank adaptation of a text-to-image model (Hu et al. 2022), for each class or for the whole data set."""
