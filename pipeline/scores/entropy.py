"""entropy: how unsure the scorer is of a picture's class."""

import torch

from pipeline.scores.evidence import Evidence


def score(evidence: Evidence) -> torch.Tensor:
    """Entropy of the scorer's probabilities in nats, float64 [N], from 0 to the logarithm of the number of classes."""
    return torch.special.entr(evidence.logits.double().softmax(1)).sum(1)
