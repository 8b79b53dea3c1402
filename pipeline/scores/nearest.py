"""Distance to the nearest real picture of the same class, in blocks of bounded size."""

import torch

BLOCK = 1024
"""Largest number of vectors in a block."""
BLOCK_NUMBERS = 2**23
"""Largest number of values in a block's vectors: 64 MiB."""


def nearest_distance(
    generated: torch.Tensor, labels: torch.Tensor, real: torch.Tensor, real_labels: torch.Tensor
) -> torch.Tensor:
    """Distance min_j ||generated_i - real_j|| over real j of the same class, float64 [N]; infinite if there are none.

    generated: [N, D] and real: [M, D] of any dtype; labels: int64. Distances are unsquared and in float64, which is exact
    for pixels. Memory is bounded by two blocks of vectors and the distances between them.
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
