"""What every stage's command line shares: the settings, the planned code, and errors in one sentence."""

import argparse
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import fingerprint
from pipeline.errors import InputError


def parser(description: str | None, config: bool = True) -> argparse.ArgumentParser:
    """A parser whose --help shows the stage's docstring, with --code, and with --config where the stage has one."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if config:
        made.add_argument("--config", type=_mapping, required=True, metavar="JSON", help="the stage's settings")
    made.add_argument("--code", metavar="JSON", help="the fingerprint this job was planned with; checked if given")
    return made


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.ArgumentParser) -> None:
    """Parse, check the code, and run; an InputError becomes one line on stderr and exit status 1."""
    # else a fifth of a stage's start goes into looking for garbage in what torch and diffusers make to stay
    gc.set_threshold(100_000)
    given = arguments.parse_args()
    try:
        if given.code:
            fingerprint.check(given.code)
        main(given)
    except InputError as error:
        sys.exit(f"error: {error}")


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
