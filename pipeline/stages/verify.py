"""Read every artifact again and name what is damaged or missing, or remake it.

    python -m pipeline.stages.verify --results results
    python -m pipeline.stages.verify --results results --repair 'snakemake --profile local --allowed-rules {stage} --'

ends with exit status 1 where damage is left. The second gives its command the paths to remake, and for {stage} the stage that makes
them. Whatever comes out as it was keeps its time stamp, so that nothing that was made of it has to be made again. Without
`--allowed-rules`, snakemake would make anew what comes before, too, had its settings been edited. Trained weights are not remade, nor
anything else while they are damaged.
"""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from pipeline.artifacts.damage import examine
from pipeline.artifacts.repair import repair
from pipeline.errors import InputError
from pipeline.jobs.progress import progress


def main(args: argparse.Namespace) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a rule's shell ignores them, which this must not take over
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
        sys.exit("error: there is damage; `make repair` remakes what is no trained network, and nothing else")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a repair waits for its jobs, which are told too
    if not repair(found.damage, results, shlex.split(args.repair)):
        sys.exit("error: some damage is left")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="the folder to read, with all below it")
    parser.add_argument("--repair", metavar="COMMAND", help="what remakes the missing files whose paths come behind it")
    return parser


if __name__ == "__main__":
    try:
        main(arguments().parse_args())
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
