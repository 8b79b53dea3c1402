"""Random numbers of training steps, the same for a sample on any device and with any number of processes."""

from collections.abc import Sequence

import torch

from pipeline.seeds import mixed_seed


class Draws:
    """Random numbers for the samples of a batch, one row each; a process gets the rows of its part.

    All are drawn on the CPU, for the whole batch, from a seed mixed from `seed`, `step` and `stream`.
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
        generator = torch.Generator().manual_seed(mixed_seed(seed, step, stream))
        self._parts, self._device, self._among = [(generator, total, mine)], device, None

    @classmethod
    def joined(cls, steps: "Sequence[Draws]") -> "Draws":
        """The draws of several steps, one step's samples after another's; each step's numbers stay the same."""
        found = cls.__new__(cls)
        found._parts = [part for step in steps for part in step._parts]
        found._device, found._among = steps[0]._device, None
        return found

    def of(self, rows: torch.Tensor) -> "Draws":
        """The draws of some of the samples, bool [B]. Both draw from one stream: what one draws, the other does not."""
        found = self.joined([self])
        found._among = rows
        return found

    def uniform(self, *shape: int) -> torch.Tensor:
        """float32 [B, *shape] in [0, 1) for this process's B samples."""
        return self._own([torch.rand(total, *shape, generator=generator) for generator, total, _ in self._parts])

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """int64 [B, *shape] in 0..high-1 for this process's B samples."""
        return self._own(
            [torch.randint(high, (total, *shape), generator=generator) for generator, total, _ in self._parts]
        )

    def _own(self, whole: list[torch.Tensor]) -> torch.Tensor:
        own = [drawn[mine] for drawn, (_, _, mine) in zip(whole, self._parts, strict=True)]
        found = torch.cat(own).to(self._device, non_blocking=True)
        return found if self._among is None else found[self._among]
