"""Raw data sets, and which of their pictures are used as what."""
