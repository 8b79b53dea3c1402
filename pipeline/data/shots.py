"""Many-, medium- and few-shot classes, by their numbers of training pictures. In code, the two boundaries stand here alone."""

import numpy as np

MANY_OVER = 100
"""A class with more training pictures than this is many-shot."""
FEW_UNDER = 20
"""A class with fewer training pictures than this is few-shot."""
RANGES = {"many": f"over {MANY_OVER}", "medium": f"{FEW_UNDER} to {MANY_OVER}", "few": f"under {FEW_UNDER}"}
"""Shot -> its training pictures, in words."""


def shots(counts: np.ndarray, few_includes_20: bool = False) -> np.ndarray:
    """The shot of each class, text [C] of 'many', 'medium' and 'few', from its training pictures, int [C].

    The boundaries are those of OLTR (Liu et al. 2019) and DiffuLT. In SAU and GLMC a class with exactly 20 pictures is
    few-shot too: `few_includes_20`.
    """
    few = counts <= FEW_UNDER if few_includes_20 else counts < FEW_UNDER
    return np.where(counts > MANY_OVER, "many", np.where(few, "few", "medium"))
