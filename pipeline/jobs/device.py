"""The device of a job's tensors. On a CPU, results do not depend on the machine's number of cores."""

import ctypes
import os
import signal
import sys

import torch

THREADS = 1
"""Threads of every CPU job. Sums are split among threads, so their number affects results. One serves any machine, and leaves the
other cores to other jobs."""


def device() -> torch.device:
    """The first visible GPU, or this process's own if torchrun has started several; else the CPU, with `THREADS`."""
    torch.set_num_threads(THREADS)
    if "LOCAL_RANK" in os.environ:
        _end_with_launcher()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.getenv("LOCAL_RANK", "0")))
        torch.set_float32_matmul_precision("high")
        return torch.device("cuda")
    return torch.device("cpu")


def _end_with_launcher() -> None:
    """Make a worker end with torchrun, which alone holds the lease on the GPUs (pipeline/jobs/lease.py)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, from now on; torchrun may have ended before
    if os.getppid() != int(os.getenv("COUNTERWEIGHT_LAUNCHER", os.getppid())):
        sys.exit("error: the process that started this worker is gone")
