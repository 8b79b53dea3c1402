"""Seeds made of several numbers, and the order of an epoch."""

import numpy as np
import torch


def mixed_seed(*numbers: int) -> int:
    """A seed in 0..2^64-1 that depends on every number, each not negative.

    All bits are mixed: torch's CPU generator looks at the lower 32 only, so that seeds must not be packed into one number.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """A permutation of 0..count-1, int64, that depends on seed and epoch alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed_seed(seed, epoch)))
