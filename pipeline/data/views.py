"""What a generator's training sees of pictures, and in which order."""

import torch

from pipeline.seeds import mixed_seed


def random_flip(pictures: torch.Tensor) -> torch.Tensor:
    """Mirror each picture left to right with probability 1/2; any dtype, [N, C, H, W]."""
    flip = torch.rand(len(pictures), device=pictures.device) < 0.5
    return torch.where(flip[:, None, None, None], pictures.flip(-1), pictures)


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """A permutation of 0..count-1, int64, that depends on seed and epoch alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed_seed(seed, epoch)))
