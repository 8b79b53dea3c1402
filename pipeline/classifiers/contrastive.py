"""SAU's contrastive branch: class prototypes, noise detection among generated pictures, and the loss that drops noise."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch.nn import functional

from pipeline.classifiers.losses import at_least_float32
from pipeline.errors import InputError


def supervised_contrastive(
    vectors: torch.Tensor,
    labels: torch.Tensor,
    noise: torch.Tensor,
    pictures: torch.Tensor,
    strategy: Literal["L1", "L2", "L3"],
    temperature: float = 0.1,
) -> torch.Tensor:
    """The supervised contrastive loss of SAU, Eq. 11-13, a scalar of at least float32.

    The A vectors are both views of a batch and both views' prototypes; all of them may be anchors (public code). With
    s_ij = z_i z_j / temperature, each anchor i that counts gives the mean over its positives j of

        log sum_k exp(s_ik) - s_ij

    k runs over all compared vectors except i itself; positives are the vectors of the same label except i itself. The
    strategy says how noise takes part:

        L1  neither anchor, nor positive, nor compared
        L2  an anchor, with the picture's other view as its only positive (each noisy picture is a class of its own)
        L3  compared only

    The paper prints a sum over anchors; this is the mean over those that count, as in public code. An anchor without a
    positive adds 0. Eq. 11 prints A_y and Eq. 12 A, but denominator and positives must be meant as above.

    vectors: float [A, D], unit length except prototypes left as plain means. labels: int64 [A], from 0. noise: bool
    [A]. pictures: int64 [A] from 0, the same number for both views of a picture; only read for noise.
    """
    vectors = at_least_float32(vectors)
    with torch.autocast(vectors.device.type, enabled=False):
        similarity = vectors @ vectors.T / temperature
    everything, clean = torch.ones_like(noise), ~noise
    anchors, compared = {"L1": (clean, clean), "L2": (everything, everything), "L3": (clean, everything)}[strategy]
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    groups = torch.where(noise, -1 - pictures, labels)
    positives = (groups[:, None] == groups) & others
    counts = positives.sum(1)
    # not -inf: for an anchor compared with nothing, the backward pass would go through NaN
    lowest = torch.finfo(similarity.dtype).min
    log_sums = similarity.masked_fill(~(compared & others), lowest).logsumexp(1)
    losses = log_sums - (similarity * positives).sum(1) / counts.clamp(min=1)
    return torch.where(anchors & (counts > 0), losses, 0).sum() / anchors.sum().clamp(min=1)


def detected_noise(
    views: Sequence[torch.Tensor],
    labels: torch.Tensor,
    generated: torch.Tensor,
    prototypes: Sequence[torch.Tensor],
    k: int = 1,
) -> torch.Tensor:
    """Noise, bool [B]: generated pictures with a corrected label that differs in any view, never real ones (SAU, Eq. 9).

    views: float [B, D] each. prototypes: float [C, D] each, of the same view. Other arguments: as for `corrected`.
    """
    found = corrected(torch.stack(list(views)), labels, generated, torch.stack(list(prototypes)), k)
    return (found != labels).any(0)


@torch.no_grad()
def corrected(
    vectors: torch.Tensor, labels: torch.Tensor, generated: torch.Tensor, prototypes: torch.Tensor, k: int = 1
) -> torch.Tensor:
    """Corrected labels, int64 [..., B], of each view: a generated picture gets the majority label of its k nearest neighbours.

    Neighbours are searched among the batch's real pictures and all prototypes, by cosine (SAU Sec. 3.4; public code with
    k = 1). Among tied labels, the nearest neighbour's wins. vectors: float [..., B, D]. labels: int64 [B].
    generated: bool [B]. prototypes: float [..., C, D], those of labels 0..C-1. Raises InputError unless k is in 1..C.
    """
    classes = prototypes.shape[-2]
    if not 1 <= k <= classes:
        raise InputError(f"neighbours, k, is {k}, but must lie in 1..{classes}, the number of classes")
    known = functional.normalize(at_least_float32(torch.cat([vectors, prototypes], -2)), dim=-1)
    with torch.autocast(vectors.device.type, enabled=False):
        similarity = known[..., : len(labels), :] @ known.mT
    hidden = functional.pad(generated, (0, classes), value=False)
    nearest = similarity.masked_fill(hidden, -torch.inf).topk(k).indices
    known_labels = torch.cat([labels, torch.arange(classes, device=labels.device)])
    voted = known_labels[nearest]  # int64 [..., B, k], nearest first
    votes = (voted[..., :, None] == voted[..., None, :]).sum(-1)
    winner = votes.argmax(-1, keepdim=True)  # the first of those with most votes, so the nearest
    return torch.where(generated, voted.gather(-1, winner).squeeze(-1), labels)


def prototypes(
    vectors: torch.Tensor,
    labels: torch.Tensor,
    classes: int,
    normalise: bool = True,
    summed: Callable[[torch.Tensor], torch.Tensor] = lambda value: value,
) -> torch.Tensor:
    """Mean vector of each class's real pictures, float [C, D], of at least float32 (SAU, Eq. 10, with the class's count).

    vectors: float [N, D], unit length; labels: int64 [N] in 0..C-1. With `normalise` the means get unit length, as in the
    paper; public code does not scale them. `summed` sums a tensor over processes, because each process has a part of the
    vectors. Raises InputError if a class has no picture.
    """
    counts = summed(labels.bincount(minlength=classes))
    if absent := (counts == 0).nonzero().flatten().tolist():
        raise InputError(
            f"a prototype needs at least one real picture of its class, but {len(absent)} of {classes} classes have none: "
            + ", ".join(map(str, absent[:5]))
        )
    # in float64, so that the order in which a GPU adds does not change the result
    sums = torch.zeros(classes, vectors.shape[1], dtype=torch.float64, device=vectors.device)
    means = summed(sums.index_add_(0, labels, vectors.double())) / counts[:, None]
    return (functional.normalize(means, dim=1) if normalise else means).to(at_least_float32(vectors).dtype)
