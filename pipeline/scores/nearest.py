"""Distance to the nearest real picture of the same class, in blocks of bounded size."""

import torch

BLOCK = 1024
"""Vectors of a block at most."""
BLOCK_NUMBERS = 2**23
"""Numbers of a block's vectors at most: 64 MiB."""


def nearest_distance(
    generated: torch.Tensor, labels: torch.Tensor, real: torch.Tensor, real_labels: torch.Tensor
) -> torch.Tensor:
    """min over real j of the same class of ||generated_i - real_j||, float64 [N]; infinite for a class without any.

    generated [N, D] and real [M, D] of any dtype, labels int64. Unsquared, in float64, which is exact for pixels. Memory is
    bounded by two blocks of vectors and the distances between them.
    """
    block_size = max(1, min(BLOCK, BLOCK_NUMBERS // generated.shape[1]))
    found = torch.full((len(generated),), torch.inf, dtype=torch.float64, device=generated.device)
    for label in labels.unique():
        rows, peers = (labels == label).nonzero()[:, 0], (real_labels == label).nonzero()[:, 0]
        for block in rows.split(block_size) if len(peers) else ():
            vectors = generated[block].double()
            for peer_block in peers.split(block_size):
                distances = torch.cdist(vectors, real[peer_block].double(), compute_mode="use_mm_for_euclid_dist")
                found[block] = torch.minimum(found[block], distances.amin(dim=1))
    return found
