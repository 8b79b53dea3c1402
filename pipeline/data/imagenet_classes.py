"""ImageNet's 1,000 classes: WordNet ids, and the names that CLIP's prompts use (Radford et al. 2021). The table is imagenet_classes.tsv."""

from pathlib import Path

_ROWS = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8").splitlines()[1:]

CLASSES: dict[str, str] = dict(row.split("\t") for row in _ROWS)
"""WordNet id -> name, in the order of the labels."""
