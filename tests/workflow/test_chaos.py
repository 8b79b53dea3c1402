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
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from runs import Run
from workflow_helpers import EVERYTHING, bytes_under, make_copy, planned, snakemake

pytestmark = pytest.mark.chaos

TARGETS = ("--cores", "4", "--resources", "gpu=2", "--config", "checkpoint_minutes=0", "--")
TARGETS = (*TARGETS, *EVERYTHING)
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


def started(root: Path) -> list[Job]:
    """Every stage that has ever started, in order."""
    notes = root / "started"
    return [Job(*json.loads(line)) for line in notes.read_text().splitlines()] if notes.exists() else []


def records(root: Path, kind: str) -> dict[str, Path]:
    """Snakemake's records of a kind, `metadata` or `incomplete`: output -> file."""
    folder = root / ".snakemake" / kind
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            encoded = "".join(name.removeprefix("@") for name in path.relative_to(folder).parts)
            found[base64.urlsafe_b64decode(encoded).decode()] = path
    return found


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
    saved = {}
    for folder, _, names in os.walk(root / "results"):  # which minds nothing that is dropped meanwhile
        for path in (Path(folder, name) for name in names if Path(folder).parent.name == "checkpoints"):
            with contextlib.suppress(FileNotFoundError):
                saved[path] = path.stat().st_mtime_ns
    return saved


def visible(root: Path) -> dict[str, bytes]:
    """The results that others would take for whole: all but hidden files and what stages continue from."""
    found = bytes_under(root / "results")
    return {name: data for name, data in found.items() if "/." not in name and "/checkpoints/" not in name}


def wait_for_moment(run: Run, chance: random.Random, number: int) -> str:
    """Sleep until the moment comes or the run ends; returns what the moment is."""
    if number % 3 == 2:
        before, seconds = checkpoints(run.root), chance.uniform(0, 0.3)
        run.wait_until(lambda: any(before.get(path) != saved for path, saved in checkpoints(run.root).items()))
        name = "a checkpoint"
    else:
        starts, seconds = chance.randint(0, MOST_STARTS), chance.uniform(0, MOST_SECONDS)
        before = len(started(run.root))
        run.wait_until(lambda: len(started(run.root)) >= before + starts)
        name = f"{starts} starts"
    until = time.monotonic() + seconds
    run.wait_until(lambda: time.monotonic() >= until)
    return f"{name} and {seconds:.2f} s"


@pytest.mark.parametrize(("seed", "kills"), [(0, 5), pytest.param(1, 200, marks=pytest.mark.nightly)])
def test_kills_at_random_moments_leave_no_trace(finished, tmp_path, seed, kills):
    expected, chance = bytes_under(finished / "results"), random.Random(seed)
    done = passes = 0
    root, trusted = fresh(tmp_path / "pass-0"), {}
    while True:
        earlier, run = started(root), Run(root, *TARGETS)
        moment = wait_for_moment(run, chance, done) if done < kills else run.process.wait()
        running = run.kill()
        again = made_again(earlier, started(root)[len(earlier) :], trusted)
        if not run.killed:
            assert run.process.returncode == 0, run.told
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


def made_again(earlier: list[Job], now: list[Job], trusted: dict[str, str]) -> str:
    """Those of a run's jobs that runs before had begun; none of them may have been recorded, nor begun twice in this run."""
    assert len(set(now)) == len(now), now
    for job in now:
        twice = [output for output, rule in trusted.items() if rule == job.stage and job.made(output)]
        assert not twice, f"{job} was recorded as complete, and was made again"
    return ", ".join(str(job) for job in now if job in earlier) or "nothing"
