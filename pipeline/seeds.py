"""Seeds from several numbers, and the order of an epoch."""

import numpy as np
import torch


def mixed_seed(*numbers: int) -> int:
    """A seed in 0..2^64-1 that depends on every number; none may be negative.

    All bits are mixed, because torch's CPU generator reads only the lower 32. So seeds must not be packed into one number.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """A permutation of 0..count-1, int64, that depends only on seed and epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed_seed(seed, epoch)))
