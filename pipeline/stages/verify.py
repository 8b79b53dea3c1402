"""Read every artifact again, and list damaged and missing ones or remake them.

    python -m pipeline.stages.verify --results results
    python -m pipeline.stages.verify --results results --repair 'snakemake --profile local --allowed-rules {stage} --'

ends with exit status 1 if damage remains. The second gives its command the paths to remake, and for {stage} the stage that makes
them. Files remade byte for byte keep their time stamps, so that files made from them need not be remade. Without `--allowed-rules`,
snakemake would also remake earlier files if their settings had been edited. Trained weights are not remade, and nothing else is remade
while they are damaged.
"""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from pipeline.artifacts.damage import examine
from pipeline.artifacts.repair import Job, repair
from pipeline.config.artifacts import OUTPUTS, TRAININGS, made_by
from pipeline.errors import InputError
from pipeline.jobs.progress import progress


def main(args: argparse.Namespace) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a rule's shell ignores them, but this process must not
        signal.signal(number, signal.SIG_DFL)
    results = Path(os.path.normpath(args.results))
    found = examine(results, progress)
    for path, reason in found.damage.items():
        print(f"damaged: {path}: {reason}")
    print(
        f"{found.files} files, {found.pictures} pictures, {found.bytes / 1e9:.2f} GB read; {len(found.damage)} damaged",
        flush=True,
    )
    if not found.damage:
        return
    if not args.repair:
        sys.exit("error: some files are damaged or missing; `make repair` remakes them, except trained networks")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a repair waits for its jobs, which get the signal too
    if not repair(found.damage, shlex.split(args.repair), lambda path: _job_of(path, results)):
        sys.exit("error: some files are still damaged or missing")


def _job_of(path: Path, results: Path) -> Job | None:
    """The job that makes a file; None for files of trainings, because a repair does not run these."""
    stage, outputs = made_by(str("results" / path.relative_to(results))) or (None, ())
    if stage is None or stage in TRAININGS:
        return None
    outputs = tuple(results / Path(output).relative_to("results") for output in outputs)
    return Job(list(OUTPUTS).index(stage), stage, outputs)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="the folder to read, with its subfolders")
    parser.add_argument("--repair", metavar="COMMAND", help="a command that remakes the files added to it")
    return parser


if __name__ == "__main__":
    try:
        main(arguments().parse_args())
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
