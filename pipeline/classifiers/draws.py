"""Random numbers of one training step: the same for a sample whatever the device, and however many processes share the batch."""

import torch

from pipeline.seeds import mixed_seed


class Draws:
    """Numbers for the samples of a batch, a row each; a process that trains on a part of it gets its rows.

    All are drawn on the CPU, for the whole batch, from a seed made of `seed`, `step` and `stream`.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        stream: int,
        total: int,
        mine: slice = slice(None),
        device: str | torch.device = "cpu",
    ):
        self._generator = torch.Generator().manual_seed(mixed_seed(seed, step, stream))
        self._total, self._mine, self._device = total, mine, device

    def uniform(self, *shape: int) -> torch.Tensor:
        """float32 [B, *shape] in [0, 1), B being this process's samples."""
        return self._own(torch.rand(self._total, *shape, generator=self._generator))

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """int64 [B, *shape] in 0..high-1."""
        return self._own(torch.randint(high, (self._total, *shape), generator=self._generator))

    def _own(self, whole: torch.Tensor) -> torch.Tensor:
        return whole[self._mine].to(self._device, non_blocking=True)
