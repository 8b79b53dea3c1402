"""d2: feature distance to the nearest real picture of the class."""

import torch

from pipeline.scores.evidence import Evidence
from pipeline.scores.nearest import nearest_distance


def score(evidence: Evidence) -> torch.Tensor:
    """Feature distance of DiffuLT's Eq. 6, float64 [N]: unsquared L2 between features before the scorer's head, not normalised."""
    return nearest_distance(evidence.features, evidence.labels, evidence.real_features, evidence.real_labels)
