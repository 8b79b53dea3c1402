"""What a guide finds useful in a picture (LDM-FG, Sec. 3.1.1), one value for each picture; more is more useful."""

import torch
from torch.nn import functional

from pipeline.feedback_criteria import EACH
from pipeline.guidance.embeddings import Embeddings


def values(
    criterion: str,
    features: torch.Tensor,
    logits: torch.Tensor,
    labels: torch.Tensor,
    seeds: torch.Tensor,
    embeddings: Embeddings | None,
) -> torch.Tensor:
    """The criterion of each picture, float [B], from float features [B, F] and logits [B, C], int64 labels [B] and seeds [B].

    Raises KeyError for an unknown criterion. `embeddings` are needed for hardness.
    """
    if criterion != "combined":
        return _CRITERIA[criterion](features, logits, labels, embeddings)
    each = torch.stack([_CRITERIA[name](features, logits, labels, embeddings) for name in EACH])
    return each.gather(0, (seeds % len(EACH))[None])[0]


def loss(features, logits: torch.Tensor, labels: torch.Tensor, embeddings) -> torch.Tensor:
    """Cross-entropy to the picture's class (Eq. 4)."""
    return functional.cross_entropy(logits, labels, reduction="none")


def entropy(features, logits: torch.Tensor, labels, embeddings) -> torch.Tensor:
    """Entropy of the predicted probabilities (Eq. 6)."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def hardness(features: torch.Tensor, logits, labels: torch.Tensor, embeddings: Embeddings) -> torch.Tensor:
    """Negative log-likelihood of the features under a normal distribution of the real ones of the class (Eq. 7)."""
    return embeddings.negative_log_likelihood(features, labels)


_CRITERIA = {"loss": loss, "entropy": entropy, "hardness": hardness}
