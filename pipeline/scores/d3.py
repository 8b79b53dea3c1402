"""d3: the probability that f0 gives to the class a picture was made for."""

import torch

from pipeline.scores.evidence import Evidence


def score(evidence: Evidence) -> torch.Tensor:
    """DiffuLT Eq. 7, float64 [N] in 0..1."""
    return evidence.logits.double().softmax(1).gather(1, evidence.labels[:, None])[:, 0]
