"""Snakemake in the background, whose whole process tree can be killed."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from workflow_helpers import environment

MARK = "COUNTERWEIGHT_TEST_RUN"
"""The variable by which processes of a run are known, whatever sessions they have started and whoever their parent is."""


class Run:
    """`snakemake --profile local ARGUMENTS` in `root`, started; `root/told` holds what it says."""

    def __init__(self, root: Path, *arguments: str):
        self.root, self._mark = root, str(time.monotonic_ns())
        with open(root / "told", "w") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--profile", "local", *arguments],
                cwd=root,
                env=environment(root) | {MARK: self._mark},
                stdout=told,
                stderr=told,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def killed(self) -> bool:
        return self.process.returncode == -signal.SIGKILL

    @property
    def told(self) -> str:
        return (self.root / "told").read_text()

    def wait_until(self, has_come: Callable[[], bool]) -> bool:
        """Whether it came before the run ended."""
        while not (self.ended or has_come()):
            time.sleep(0.01)
        return not self.ended

    def signal(self, number: int, word: str | None = None) -> list[str]:
        """Send a signal to all processes, or those with `word` in their command line, Snakemake first; returns the stages."""
        stages = set()
        for process in sorted(self.processes(), key=lambda process: process.pid != self.process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = process.cmdline()
                if word in (None, *words):
                    process.send_signal(number)
                    stages |= {word.rsplit(".", 1)[1] for word in words if word.startswith("pipeline.stages.")}
        return sorted(stages)

    def kill(self) -> list[str]:
        """SIGKILL to all, until none is left; returns the stages that were running."""
        stages = self.signal(signal.SIGKILL)
        while self.processes():
            self.signal(signal.SIGKILL)
        self.process.wait()
        return stages

    def processes(self) -> list[psutil.Process]:
        """Every living process of this run."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone, a zombie, or somebody else's
            return False
