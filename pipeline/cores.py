"""The cores that a process may use."""

import os


def cores() -> int:
    """Number of cores that this process may use, at least 1: those that a scheduler left it, or on macOS all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
