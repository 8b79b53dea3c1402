"""The common part of every stage's command line: settings, the check of the code, and errors in one sentence."""

import argparse
import errno
import gc
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.artifacts import made
from pipeline.errors import InputError, Superseded, as_started
from pipeline.jobs import RUN, claim, fingerprint, stopping

FOR_THE_USER = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.EIO,
    errno.ESTALE,
    errno.EFBIG,
)
"""Errors of a disk that the user must fix."""


def parser(description: str | None, config: bool = True) -> argparse.ArgumentParser:
    """A parser with --code and, if the stage has settings, --config. Its --help shows the stage's docstring."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    if config:
        made.add_argument("--config", type=_mapping, required=True, metavar="JSON", help="the stage's settings")
    made.add_argument("--code", metavar="JSON", help="the fingerprint this job was planned with; checked if given")
    return made


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.ArgumentParser) -> None:
    """Parse the arguments, check the code, claim the output, and run `main`.

    An InputError becomes one line on stderr and exit status 1. Retrying cannot help bad input. So under a scheduler, the line
    is kept in `.NAME.failed` beside the output, and the next attempt of the same run ends with it at once.
    """
    # garbage collection would take a fifth of a stage's start, and the objects of torch and diffusers stay
    gc.set_threshold(100_000)
    given, rest = arguments.parse_known_args()
    if hasattr(given, "inputs"):
        given.inputs = _inputs(rest, arguments)
    elif rest:
        arguments.error(f"unrecognized arguments: {' '.join(rest)}")
    stopping.listen()
    failed = given.output.with_name(f".{given.output.name}.failed")
    try:
        _recall(failed)
        if given.code:
            fingerprint.check(given.code)
        if os.getenv("RANK", "0") == "0":  # only the first of a job's processes writes
            claim.claim(given.output)
            made.begin(_statement(given))
        main(given)
    except InputError as error:
        if RUN in os.environ:
            with suppress(OSError, Superseded):  # the error is reported even if it cannot be kept
                claim.require()
                failed.parent.mkdir(parents=True, exist_ok=True)
                failed.write_text(f"{os.environ[RUN]}\n{error}", encoding="utf-8")
        sys.exit(f"error: {as_started(str(error))}")
    except Superseded as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in FOR_THE_USER:
            raise
        fault = os.strerror(error.errno)  # the error's own text may be longer than a sentence
        sys.exit(f"error: {error.filename or given.output}: {fault}; fix that and run snakemake again")
    except (MemoryError, RuntimeError) as error:
        if not is_of_memory(error):
            raise
        first = str(error).partition("\n")[0]
        config = getattr(given, "config", None) or {}
        key = next((key for key in ("classes_at_once", "batch_size") if key in config), "batch_size")
        sys.exit(f"error: {given.output}: out of memory ({first}); give the job more (mem_mb), or lower {key}")
    finally:
        claim.release()


def _statement(given: argparse.Namespace) -> dict[str, Any]:
    """What the outputs say about their making. Raises InputError if an input is damaged."""
    values = [value for name, value in vars(given).items() if name not in ("output", "inputs")]
    values += [*getattr(given, "inputs", {}).values()]
    paths = [path for value in values for path in (value if isinstance(value, list) else [value])]
    inputs = {}
    for path in paths:
        if isinstance(path, Path) and path.is_file():
            inputs[str(path)] = made.checked_digest(path)
    shard = getattr(given, "shard", None)
    return made.statement(
        getattr(given, "config", None), given.code, "{} of {}".format(*shard) if shard else None, inputs
    )


def is_of_memory(error: Exception) -> bool:
    """Whether Python, NumPy, a GPU or torch on a CPU is out of memory. The last has no error type for it."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def _recall(failed: Path) -> None:
    """End a second attempt with the first one's error, if that was an InputError."""
    run, _, error = failed.read_text(encoding="utf-8").partition("\n") if failed.exists() else ("", "", "")
    if error and run == os.getenv(RUN):
        sys.exit(f"error: {error} (from the previous attempt; retrying cannot help)")
    failed.unlink(missing_ok=True)


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Any further `--name path ...` is an input of the kind that the config names: `inputs` maps names to lists of paths."""
    parser.set_defaults(inputs={})
    parser.epilog = "Further options, --NAME PATH ..., are inputs of the kind: a trained generator's --generator, say."


def _inputs(words: list[str], parser: argparse.ArgumentParser) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    name = None
    for word in words:
        if word.startswith("--"):
            name = word.removeprefix("--").replace("-", "_")
            found[name] = []
        elif name is None:
            parser.error(f"unrecognized argument: {word}")
        else:
            found[name].append(Path(word))
    return found


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Add the options of a stage that makes one shard: --shard, `0 of 2` as (0, 2), and --output."""
    parser.add_argument(
        "--shard",
        type=_shard,
        required=True,
        metavar="I of N",
        help="number of the shard, from 0, and number of shards",
    )
    parser.add_argument("--output", type=Path, required=True, help="the shard to write, .tar")


def _shard(text: str) -> tuple[int, int]:
    which, _, count = text.partition(" of ")
    if not (which.isdecimal() and count.isdecimal() and int(which) < int(count)):
        raise argparse.ArgumentTypeError(f"'{text}' must be like '0 of 2', counted from 0")
    return int(which), int(count)


def _mapping(text: str) -> dict:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON mapping")
    return value
