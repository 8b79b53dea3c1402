"""Time from the start of a job to the start of its stage: ours and an empty Snakefile's, in turns.

    python benchmarks/job_start.py                     # one machine: from `snakemake` on the command line
    python benchmarks/job_start.py --profile slurm     # a cluster, or the tests' own: from the first process on the node; a minute each

The stage is the demo's training of a generator, with a lease of a GPU; it ends when its interpreter starts. Prints medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MANIFEST, TARGET = "results/demo/subset/manifest.parquet", "results/demo/generator/demo/history.parquet"
STAGE = "pipeline.stages.generator"

NOTES_STARTS = '''"""Notes when each interpreter starts, and ends the stage; Python runs a sitecustomize by itself."""

import json, os, sys, time
from pathlib import Path

words = sys.orig_argv
is_stage = "pipeline.stages.generator" in words and "pipeline.jobs.lease" not in words
with open(Path(__file__).with_name("started"), "a") as file:
    file.write(json.dumps([time.time(), is_stage, "SLURM_JOB_ID" in os.environ]) + "\\n")
if is_stage:
    os._exit(1)
'''

EMPTY = f"""
rule empty:
    output: "{TARGET}"
    shell: "{sys.executable} -c pass {STAGE}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=["local", "slurm"], default="local")
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # a cluster's nodes see it too
        ours, empty = Path(folder, "ours"), Path(folder, "empty")
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, ours], check=True)
        snakemake(ours, "local", MANIFEST).check_returncode()
        empty.mkdir()
        (empty / "Snakefile").write_text(EMPTY)
        (empty / "profiles").symlink_to(ours / "profiles")
        for root in (ours, empty):
            (root / "sitecustomize.py").write_text(NOTES_STARTS)
        seconds = [(start(ours, given.profile), start(empty, given.profile)) for _ in range(given.repeats)]
    one, other = map(statistics.median, zip(*seconds, strict=True))
    print(f"ours {one:.2f} s, an empty Snakefile's {other:.2f} s: our share is {one - other:.2f} s")


def start(root: Path, profile: str) -> float:
    """Seconds until the stage begins."""
    starts = root / "started"
    starts.unlink(missing_ok=True)
    told = snakemake(root, profile, TARGET).stdout
    rows = [json.loads(line) for line in starts.read_text().splitlines()]
    stages = [time for time, is_stage, _ in rows if is_stage]
    if not stages:
        sys.exit(told)
    return stages[0] - min(time for time, _, on_node in rows if on_node or profile == "local")


def snakemake(root: Path, profile: str, target: str) -> subprocess.CompletedProcess:
    often = ["--slurm-init-seconds-before-status-checks", "1"] if profile == "slurm" else []
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}", "--retries", "0", *often, "--", target],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


if __name__ == "__main__":
    main()
