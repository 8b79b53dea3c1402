"""Folders of raw data: which names in them are never data, and what has changed in them since. Import-light: the Snakefile reads it."""

import base64
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

MOST_FILES = 20_000
"""Of a folder with more files than this, only the folders in it are looked at, whose times change as files come and go."""
NOT_DATA = frozenset(
    {
        *("@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information"),
        *("__macosx", "lost+found", "thumbs.db", "desktop.ini"),
    }
)
"""Names, in lower case, that file servers and operating systems leave among data."""

Signature = dict[str, list[int]]
"""Path of a file -> its size in bytes and its time in nanoseconds. Path of a folder and / -> its time."""


def is_data(name: str) -> bool:
    """Whether a name may be data: it is neither hidden nor one of NOT_DATA."""
    return not name.startswith(".") and name.casefold() not in NOT_DATA


def shown(path: str) -> str:
    """A path with the bytes that are not UTF-8 escaped."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def signature(folder: Path) -> Signature:
    """Sizes and times of all data files below `folder`; of more than MOST_FILES, times of the folders and of the files at the top."""
    found: Signature = {}
    for path, entry in _files(folder):
        found[path] = _of_file(entry.stat())
        if len(found) > MOST_FILES:
            break
    else:
        return found
    found = {path: values for path, values in found.items() if "/" not in path}
    return found | {f"{path}/": [(folder / path).stat().st_mtime_ns] for path in _folders(folder)}


def changes(before: Signature, folder: Path) -> str | None:
    """What has been added, removed or changed below `folder` since its signature was `before`: numbers and examples, or None.

    Data that are gone altogether are no change, because they may be removed once they are stored.
    """
    large = _is_large(before)
    try:
        now = _present(before, folder) if large else signature(folder)
    except OSError:
        return None  # a disk that is not there
    if _is_large(now) and not large:
        return f"more than {MOST_FILES - len(before):,} added"
    if not (before.keys() & now.keys()) - {"./"}:
        return None
    found = {
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
        "changed": sorted(path for path in now.keys() & before.keys() if now[path] != before[path]),
    }
    told = [f"{len(paths)} {what}, first {shown(paths[0])}" for what, paths in found.items() if paths]
    return "; ".join(told) or None


def packed(found: Signature) -> str:
    """A signature as short text."""
    return base64.b64encode(zlib.compress(json.dumps(found, sort_keys=True).encode())).decode()


def unpacked(text: str) -> Signature:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def _is_large(found: Signature) -> bool:
    """Whether a signature is of folders, because there are more than MOST_FILES files."""
    return any(path.endswith("/") for path in found)


def _present(before: Mapping[str, list[int]], folder: Path) -> Signature:
    """What there is now of the folders and files of a signature; new ones change the time of the folder that they are in."""
    found: Signature = {}
    for path in before:
        try:
            values = (folder / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        found[path] = [values.st_mtime_ns] if path.endswith("/") else _of_file(values)
    return found


def _of_file(values: os.stat_result) -> list[int]:
    return [values.st_size, values.st_mtime_ns]


def _files(folder: Path | str, below: str = "", above: tuple[str, ...] = ()) -> Iterator[tuple[str, os.DirEntry]]:
    """(path relative to the first folder, entry) of every data file."""
    above = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_data(entry.name):
                continue
            if entry.is_file():
                yield below + entry.name, entry
            elif entry.is_dir() and os.path.realpath(entry.path) not in above:
                yield from _files(entry.path, f"{below}{entry.name}/", above)


def _folders(folder: Path) -> Iterator[str]:
    """Paths of `folder` (as .) and of all folders in it, relative to it."""
    seen = set()
    for place, names, _ in os.walk(folder, followlinks=True):
        yield os.path.relpath(place, folder)
        seen.add(os.path.realpath(place))
        names[:] = [name for name in names if is_data(name) and os.path.realpath(f"{place}/{name}") not in seen]
