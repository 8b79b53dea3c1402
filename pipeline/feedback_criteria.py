"""The criteria of feedback (LDM-FG, Sec. 3.1.1), in an order that pools on disk hang on."""

EACH = ("loss", "entropy", "hardness")
"""`combined` takes one of them for each picture, by the remainder of its seed (Table 5)."""
