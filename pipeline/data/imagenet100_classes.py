"""The 100 classes of Fill-Up's ImageNet100-LT with their numbers of training pictures. The table is imagenet100_classes.tsv.

The sorted counts are int(1000 (1/200)^(i/99)), as its Fig. A16 shows. The authors' list says which class has which count.
"""

from pathlib import Path

_ROWS = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8").splitlines()[1:]

COUNTS: dict[str, int] = {wnid: int(count) for wnid, count in (row.split("\t") for row in _ROWS)}
"""WordNet id -> training pictures, in the order of the labels."""
