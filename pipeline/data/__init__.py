"""Raw data sets, long-tail profiles and views of pictures."""
