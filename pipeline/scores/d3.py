"""d3: the scorer's probability of the class that a picture was generated for."""

import torch

from pipeline.scores.evidence import Evidence


def score(evidence: Evidence) -> torch.Tensor:
    """Probability of DiffuLT's Eq. 7, float64 [N] in 0..1."""
    return evidence.logits.double().softmax(1).gather(1, evidence.labels[:, None])[:, 0]
