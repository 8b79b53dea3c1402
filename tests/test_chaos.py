"""Kills: of the whole process tree with SIGKILL, at random moments, again and again. The last run ends with the bytes of an
undisturbed one, and nothing that Snakemake had recorded is made twice.

A moment is drawn as progress and not as time, so that it means the same on a slow machine: after so many stages have
started and a fraction of a stage's usual time. Every third falls just after a training stage has saved its state, since in
the micro run a stage trains for a fraction of its time only. Where a run ends before its moment has come, its results are
compared and all begins anew. `make test-chaos` prints the moments, what was running, and what was made again.
"""

import base64
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from workflow_helpers import bytes_under, make_copy, planned, snakemake

pytestmark = pytest.mark.chaos

TARGETS = ("--cores", "4", "--resources", "gpu=2", "--config", "checkpoint_minutes=0", "--")
TARGETS = (*TARGETS, "all_demo", "table_diffult_9", "describe_demo")
MOST_STARTS, MOST_SECONDS = 4, 3.0
"""A moment comes after 0 to 4 stages of a run have started, and 0 to 3 seconds."""

NOTES_STARTS = '''"""Notes which stage starts; Python runs a sitecustomize by itself."""

import json
import sys
from pathlib import Path

words = sys.orig_argv
module = words[words.index("-m") + 1] if "-m" in words else ""
if module.startswith("pipeline.stages."):
    with open(Path(__file__).with_name("started"), "a") as file:
        file.write(json.dumps([module.rsplit(".", 1)[1], words[words.index("--output") + 1]]) + "\\n")
'''


class Job(NamedTuple):
    """A job as its stage's command line names it: `output` is a file, or the folder of several."""

    stage: str
    output: str

    def made(self, path: str) -> bool:
        return path == self.output or Path(self.output) in Path(path).parents

    def __str__(self) -> str:
        return f"{self.stage} {Path(self.output).relative_to('results')}"


class Run:
    """Snakemake in a session of its own, and all that descends from it: known by a variable of the environment."""

    def __init__(self, root: Path, *arguments: str):
        self.root, self._before = root, len(started(root))
        self._mark = f"{root}-{time.monotonic_ns()}"
        environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"OMP_WAIT_POLICY": "passive", "COUNTERWEIGHT_TEST_RUN": self._mark}
        with open(root / "told", "w") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--profile", "local", *arguments],
                cwd=root, env=environment, stdout=told, stderr=told, start_new_session=True,
            )  # fmt: skip

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self) -> str:
        self.process.wait()
        return "the end"

    @property
    def killed(self) -> bool:
        return self.process.returncode == -signal.SIGKILL

    def told(self) -> str:
        return (self.root / "told").read_text()

    def started(self) -> list[Job]:
        return started(self.root)[self._before :]

    def tree(self) -> list[psutil.Process]:
        """Every living process of this run, Snakemake first."""
        found = [process for process in psutil.process_iter() if self._is_ours(process)]
        return sorted(found, key=lambda process: process.pid != self.process.pid)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("COUNTERWEIGHT_TEST_RUN") == self._mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone, a zombie, or somebody else's
            return False

    def kill(self) -> list[str]:
        """SIGKILL to all, until none is left; returns the stages that were running."""
        running = set()
        while tree := self.tree():
            for process in tree:
                try:
                    running |= {word for word in process.cmdline() if word.startswith("pipeline.stages.")}
                    process.kill()
                except psutil.NoSuchProcess:
                    pass
        self.process.wait()
        return sorted(word.rsplit(".", 1)[1] for word in running)


def started(root: Path) -> list[Job]:
    """Every stage that has ever started, in order."""
    notes = root / "started"
    return [Job(*json.loads(line)) for line in notes.read_text().splitlines()] if notes.exists() else []


def records(root: Path, kind: str) -> dict[str, Path]:
    """Snakemake's records of a kind, `metadata` or `incomplete`: output -> file."""
    folder = root / ".snakemake" / kind
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {base64.urlsafe_b64decode(str(path.relative_to(folder)).replace("/@", "")).decode(): path for path in files}


def complete(root: Path) -> dict[str, str]:
    """Output -> rule, of jobs that Snakemake has recorded and will trust: those with no output that is marked incomplete."""
    marked, found = records(root, "incomplete"), {}
    for output, path in records(root, "metadata").items():
        try:
            found[output] = json.loads(path.read_text())
        except json.JSONDecodeError:
            assert output in marked, f"a torn record of {output} that nothing tells from a missing one"
    doubtful = {tuple(record["log"]) for output, record in found.items() if output in marked}
    return {output: record["rule"] for output, record in found.items() if tuple(record["log"]) not in doubtful}


def checkpoints(root: Path) -> dict[Path, int]:
    """What stages would continue from -> when it was saved."""
    found = {}
    for path in root.glob("results/**/checkpoints/*/[!.]*"):
        with contextlib.suppress(FileNotFoundError):  # dropped meanwhile
            found[path] = path.stat().st_mtime_ns
    return found


def visible(root: Path) -> dict[str, bytes]:
    """The results that others would take for whole: all but hidden files and what stages continue from."""
    found = bytes_under(root / "results")
    return {name: data for name, data in found.items() if "/." not in name and "/checkpoints/" not in name}


def wait_for_moment(run: Run, chance: random.Random, number: int) -> str:
    """Sleep until the moment comes or the run ends; returns what the moment was."""
    if number % 3 == 2:
        before, seconds = checkpoints(run.root), chance.uniform(0, 0.3)
        name = "a checkpoint"

        def has_come():
            return any(before.get(path) != saved for path, saved in checkpoints(run.root).items())

    else:
        starts, seconds = chance.randint(0, MOST_STARTS), chance.uniform(0, MOST_SECONDS)
        name = f"{starts} starts"

        def has_come():
            return len(run.started()) >= starts

    while not (run.ended() or has_come()):
        time.sleep(0.01)
    until = time.monotonic() + seconds
    while not run.ended() and time.monotonic() < until:
        time.sleep(0.01)
    return f"{name} and {seconds:.2f} s"


@pytest.mark.parametrize(("seed", "kills"), [(0, 30), pytest.param(1, 200, marks=pytest.mark.nightly)])
def test_kills_at_random_moments_leave_no_trace(finished, tmp_path, seed, kills):
    expected, chance = bytes_under(finished / "results"), random.Random(seed)
    done = passes = 0
    root, trusted = fresh(tmp_path / "pass-0"), {}
    while True:
        run = Run(root, *TARGETS)
        moment = wait_for_moment(run, chance, done) if done < kills else run.wait()
        running = run.kill()
        again = check_started(run, trusted)
        if not run.killed:
            assert run.process.returncode == 0, run.told()
            assert bytes_under(root / "results") == expected
            assert planned(root, *TARGETS) == {}
            if done == kills:
                break
            passes += 1
            root, trusted = fresh(tmp_path / f"pass-{passes}"), {}
            continue
        done += 1
        print(f"kill {done} after {moment} of pass {passes}, in {', '.join(running) or 'no stage'}; again: {again}")
        torn = [name for name, data in visible(root).items() if data != expected.get(name)]
        assert not torn, f"neither whole nor absent after kill {done}"
        trusted = complete(root)
        assert snakemake(root, "--unlock").returncode == 0


def fresh(folder: Path) -> Path:
    """A copy that has made nothing yet, and notes what starts."""
    root = make_copy(folder)
    (root / "sitecustomize.py").write_text(NOTES_STARTS)
    return root


def check_started(run: Run, trusted: dict[str, str]) -> str:
    """Assert that a run made nothing that had been recorded, nor anything twice; returns what earlier runs had begun."""
    now = run.started()
    earlier = started(run.root)[: -len(now)] if now else []
    assert len(set(now)) == len(now), now
    for job in now:
        twice = [output for output, rule in trusted.items() if rule == job.stage and job.made(output)]
        assert not twice, f"{job} was recorded as complete, and was made again"
    return ", ".join(str(job) for job in now if job in earlier) or "-"
