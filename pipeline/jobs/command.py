"""What every stage's command line shares: the settings, the planned code, and errors in one sentence."""

import argparse
import errno
import gc
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.errors import InputError, Superseded
from pipeline.jobs import claim, fingerprint, stopping

RUN = "COUNTERWEIGHT_RUN"
"""The environment variable that names a run of the scheduler, which all attempts at a job have in common."""
FOR_THE_USER = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.EIO,
    errno.ESTALE,
)
"""Faults of a disk that a person must mend."""


def parser(description: str | None, config: bool = True) -> argparse.ArgumentParser:
    """A parser whose --help shows the stage's docstring, with --code, and with --config where the stage has one."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if config:
        made.add_argument("--config", type=_mapping, required=True, metavar="JSON", help="the stage's settings")
    made.add_argument("--code", metavar="JSON", help="the fingerprint this job was planned with; checked if given")
    return made


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.ArgumentParser) -> None:
    """Parse, check the code, claim the output, and run; an InputError becomes one line on stderr and exit status 1.

    Bad input does not get better by itself: where a scheduler may try again, its line is kept in `.NAME.failed` beside the
    output, and another attempt of the same run ends with it at once.
    """
    # else a fifth of a stage's start goes into looking for garbage in what torch and diffusers make to stay
    gc.set_threshold(100_000)
    given = arguments.parse_args()
    stopping.listen()
    failed = given.output.with_name(f".{given.output.name}.failed")
    try:
        _recall(failed)
        if given.code:
            fingerprint.check(given.code)
        if os.getenv("RANK", "0") == "0":  # of the processes of one job, the one that writes
            claim.claim(given.output)
        main(given)
    except InputError as error:
        if RUN in os.environ:
            with suppress(OSError, Superseded):  # the error counts, also where it cannot be kept
                claim.require()
                failed.parent.mkdir(parents=True, exist_ok=True)
                failed.write_text(f"{os.environ[RUN]}\n{error}")
        sys.exit(f"error: {error}")
    except Superseded as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in FOR_THE_USER:
            raise
        fault = os.strerror(error.errno)  # the error's own may be longer than a sentence
        sys.exit(f"error: {error.filename or given.output}: {fault}; mend that and run snakemake again")
    except (MemoryError, RuntimeError) as error:
        if not _is_of_memory(error):
            raise
        first = str(error).partition("\n")[0]
        sys.exit(f"error: {given.output}: out of memory ({first}); give the job more (mem_mb), or lower batch_size")
    finally:
        claim.release()


def _is_of_memory(error: Exception) -> bool:
    """Whether it is of Python, of NumPy, of a GPU, or of torch on a CPU, which has no name for it."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def _recall(failed: Path) -> None:
    """End a second attempt with the first one's error, where that was of its input."""
    run, _, error = failed.read_text().partition("\n") if failed.exists() else ("", "", "")
    if error and run == os.getenv(RUN):
        sys.exit(f"error: {error} (said the attempt before; trying again would not help)")
    failed.unlink(missing_ok=True)


def add_shard(parser: argparse.ArgumentParser) -> None:
    """The options of a stage that makes one shard: --shard, `0 of 2` as (0, 2), and --output."""
    parser.add_argument(
        "--shard", type=_shard, required=True, metavar="I of N", help="which shard, from 0, and of how many"
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
        raise argparse.ArgumentTypeError(f"a JSON mapping is expected, not {text!r}")
    return value
