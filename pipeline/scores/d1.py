"""d1: pixel distance to the nearest real picture of the class."""

import torch

from pipeline.scores.evidence import Evidence
from pipeline.scores.nearest import nearest_distance


def score(evidence: Evidence) -> torch.Tensor:
    """Pixel distance of DiffuLT's Eq. 5, float64 [N]: unsquared L2 in units of 0..255, as its thresholds 3000..4000 imply."""
    return nearest_distance(evidence.pixels, evidence.labels, evidence.real_pixels, evidence.real_labels)
