"""d2: feature distance to the nearest real picture of the class."""

import torch

from pipeline.scores.evidence import Evidence
from pipeline.scores.nearest import nearest_distance


def score(evidence: Evidence) -> torch.Tensor:
    """DiffuLT Eq. 6, float64 [N]: unsquared L2 between f0's features before its head, not normalised."""
    return nearest_distance(evidence.features, evidence.labels, evidence.real_features, evidence.real_labels)
