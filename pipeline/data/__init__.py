"""Raw data sets, and the choice of their pictures and splits."""
