"""Seeds made of several numbers."""

import numpy as np


def mixed_seed(*numbers: int) -> int:
    """A seed in 0..2^64-1 that depends on every number, each not negative.

    All bits are mixed: torch's CPU generator looks at the lower 32 only, so that seeds must not be packed into one number.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
