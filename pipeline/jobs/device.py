"""Where tensors live, and what makes CPU results the same whatever the machine's cores."""

import ctypes
import os
import signal
import sys

import torch

THREADS = 2
"""Threads of every CPU job. Sums are split among threads, so their number is part of the result."""


def device() -> torch.device:
    """The first visible GPU, or this process's own where torchrun has started several; else the CPU with fixed threads."""
    torch.set_num_threads(THREADS)
    if "LOCAL_RANK" in os.environ:
        _end_with_launcher()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.getenv("LOCAL_RANK", "0")))
        torch.set_float32_matmul_precision("high")
        return torch.device("cuda")
    return torch.device("cpu")


def _end_with_launcher() -> None:
    """Make a worker die with torchrun, which alone holds the lease on their GPUs: see pipeline/jobs/lease.py."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, for the time from now on
    if os.getppid() != int(os.getenv("COUNTERWEIGHT_LAUNCHER", os.getppid())):
        sys.exit("error: the process that started this worker is gone")
