"""Read every artifact again, and list damaged and missing ones or remake them.

    python -m pipeline.stages.verify --results results
    python -m pipeline.stages.verify --results results --repair 'snakemake --profile local --allowed-rules {stage} --'

ends with exit status 1 if damage remains. The second gives its command the paths to remake, and for the word {stage} the stage
that makes them. Files remade byte for byte keep their time stamps, so that files made from them need not be remade. Without
`--allowed-rules`, snakemake would also remake earlier files if their settings had been edited. Trained weights are not remade,
and nothing else is remade while they are damaged.
"""

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import made
from pipeline.artifacts.damage import examine
from pipeline.artifacts.repair import Job, repair
from pipeline.config.artifacts import OUTPUTS, TRAININGS, implied_by, made_by
from pipeline.errors import InputError, as_started
from pipeline.jobs.progress import progress


def main(args: argparse.Namespace) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a rule's shell ignores them, but this process must not
        signal.signal(number, signal.SIG_DFL)
    results = Path(os.path.normpath(args.results))
    found = examine(results, lambda path: _implied_by(path, results), progress)
    for path, reason in found.damage.items():
        print(f"damaged: {path}: {reason}")
    print(
        f"{found.files} files, {found.pictures} pictures, {found.bytes / 1e9:.2f} GB read; {len(found.damage)} damaged",
        flush=True,
    )
    planned = json.loads(args.planned.read_text(encoding="utf-8")) if args.planned else {}
    for path in _left_over(results, planned.get("folders")):
        print(f"left over: {path}: no recipe of the config makes it; delete it if you need it no more", flush=True)
    for place, differs in _outdated(results, planned.get("statements", {})).items():
        print(
            f"outdated: {place}: made with {differs} than now; a run that needs it makes it again, unless `make accept` took it",
            flush=True,
        )
    if not found.damage:
        return
    if not args.repair:
        sys.exit(
            as_started("error: some files are damaged or missing; `make repair` remakes them, except trained networks")
        )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a repair waits for its jobs, which get the signal too
    if not repair(found.damage, shlex.split(args.repair), lambda path: _job_of(path, results), TRAININGS):
        sys.exit("error: some files are still damaged or missing")


def _left_over(results: Path, recipes: list[str] | None) -> list[Path]:
    """Folders of parts that no recipe has."""
    if recipes is None:
        return []
    places = [Path(path).parts for path in recipes]
    stages = {place[2] for place in places if len(place) == 4}  # a foundation's path has no stage
    there = [path for stage in stages for path in results.glob(f"*/{stage}/*") if not path.name.startswith(".")]
    return sorted(path for path in there if f"results/{path.relative_to(results)}".removesuffix(".png") not in recipes)


def _outdated(results: Path, statements: Mapping[str, Mapping[str, Any]]) -> dict[Path, str]:
    """Folder of artifacts -> what differs between what these say of their making and what they would say now."""
    found: dict[Path, set[str]] = {}
    for name, now in statements.items():
        path = _located(name, results)
        said = made.about(path).get("made")
        if said:
            found.setdefault(path.parent, set()).update(key for key in now if said[key] != now[key])
    return {
        place: " and ".join(f"other {_WORDS[key]}" for key in _WORDS if key in keys)
        for place, keys in found.items()
        if keys
    }


_WORDS = {"settings": "settings", "code": "code", "shard": "numbers of shards"}


def _job_of(path: Path, results: Path) -> Job | None:
    """The job that makes a file, if any; files below the folder of a generator, of its shard, or of a foundation are of its table's."""
    place = Path(_named(path, results))
    tables = [place, *(parent / "history.parquet" for parent in place.parents), place.parent.with_suffix(".parquet")]
    models = [parent.parent for parent in place.parents if parent.name == "files"]
    fetched = [
        path for path in (model / "fetched.parquet" for model in models) if _located(str(path), results).exists()
    ]
    tables += fetched or [model / "foundation.parquet" for model in models]
    stage, outputs = next(filter(None, (made_by(str(table)) for table in tables)), (None, ()))
    if stage is None:
        return None
    job = Job(list(OUTPUTS).index(stage), stage, tuple(_located(output, results) for output in outputs))
    if stage == "manifest" and not any(job.outputs[0].parent.glob("real/*.tar")):
        return job._replace(before=("store",))  # how many shards there were is in the config alone
    return job


def _implied_by(path: Path, results: Path) -> list[Path]:
    return [_located(other, results) for other in implied_by(_named(path, results))]


def _named(path: Path, results: Path) -> str:
    """A path as the table of artifacts has it, `results/...`."""
    return str("results" / path.relative_to(results))


def _located(name: str, results: Path) -> Path:
    return results / Path(name).relative_to("results")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="the folder to read, with its subfolders")
    parser.add_argument("--repair", metavar="COMMAND", help="a command that remakes the files added to it")
    parser.add_argument(
        "--planned",
        type=Path,
        metavar="FILE",
        help="list what no recipe makes, and what was made otherwise: JSON with `folders` of parts that recipes have, as"
        " results/demo/plan/demo, and `statements`, path of an artifact -> settings, code and shard as they would be now",
    )
    return parser


if __name__ == "__main__":
    try:
        main(arguments().parse_args())
    except InputError as error:
        sys.exit(f"error: {as_started(str(error))}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
