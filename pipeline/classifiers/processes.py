"""Several processes that train one classifier, one GPU each: their ranks and their parts of a batch."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce


class Processes(NamedTuple):
    """This process among all: `rank` in 0..count-1."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """This process's rows of a batch of `total`: contiguous; numbers of rows differ by at most one."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def parts(self, total: int, parts: int) -> list[slice]:
        """The same rows in so many parts, as if more processes had one each."""
        return [Processes(self.rank * parts + part, self.count * parts).share(total) for part in range(parts)]

    def take_firsts_buffers(self, module: nn.Module) -> None:
        """Copy the first process's running statistics of a module to all processes."""
        if self.count > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' values."""
        if self.count > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value

    def together(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of all processes, in the order of their ranks.

        A loss of all rows is the same in every process and gives the gradients of the whole batch: each process's rows get
        the sum over processes, and DistributedDataParallel takes the mean.
        """
        if self.count == 1:
            return rows
        sizes = torch.zeros(self.count, dtype=torch.int64, device=rows.device)
        sizes[self.rank] = len(rows)
        sizes = self.sum(sizes).tolist()
        before, after = sum(sizes[: self.rank]), sum(sizes[self.rank + 1 :])
        # a gather needs equal shares, but these differ by a row: each process adds its rows to zeros
        among = torch.cat([rows.new_zeros(before, *rows.shape[1:]), rows, rows.new_zeros(after, *rows.shape[1:])])
        return all_reduce(among)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of all processes' values."""
        return self.sum(value) / self.count


ALONE = Processes()
"""One process that has all of every batch."""


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun started, or stay alone without it."""
    if int(os.getenv("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    processes = Processes(distributed.get_rank(), distributed.get_world_size())
    if not processes.first:
        # the first process needs the others to finish its step before it saves; torchrun ends them
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
