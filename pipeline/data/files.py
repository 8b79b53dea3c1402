"""Picture files, from folders and from official lists, in an order that does not depend on the file system."""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipeline.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def read_list(path: Path, split: str) -> pd.DataFrame:
    """Read an official list, with a path and a label on each line, as a table: source, class, split.

    Raises InputError with the number of a wrong line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    sources, labels = [], []
    for number, line in enumerate(lines, 1):
        source, _, label = line.strip().rpartition(" ")
        if not (source and label.isdecimal()):
            if not label:
                continue
            raise InputError(f"{path}, line {number}: '{line[:80]}' must be a path, a space and a label, 0 or more")
        sources.append(require_inside(source.rstrip(), f"{path}, line {number}"))
        labels.append(int(label))
    if not sources:
        raise InputError(f"{path} is empty; each line must be a path, a space and a label")
    return pd.DataFrame({"source": sources, "class": labels, "split": split})


def require_inside(source: str, where: str) -> str:
    """The normalised path. Raises InputError if it leads out of the data set's folder."""
    if source and source[0] not in "/." and "/." not in source and "//" not in source and "\\" not in source:
        return source  # the short way, for nearly all of what may be millions
    normal = os.path.normpath(source.replace("\\", "/"))
    if Path(normal).is_absolute() or normal.split("/")[0] in ("..", "."):
        raise InputError(f"{where}: '{source}' lies outside the data set's folder; give a relative path inside it")
    return normal


def require_files(folder: Path, table: pd.DataFrame, what: str) -> None:
    """Raise InputError if listed files are missing from `folder`, with their number and the first five, or are listed twice."""
    there: dict[str, set[str]] = {}
    missing = []
    for source in table["source"].tolist():
        parent, _, name = source.rpartition("/")
        if parent not in there:
            inside = folder / parent
            there[parent] = {found for found, _ in _scan(inside)} if inside.is_dir() else set()
        if name not in there[parent]:
            missing.append(source)
    if missing:
        raise InputError(
            f"{what}: {len(missing)} of {len(table)} listed files are not in {folder} (first: {', '.join(missing[:5])})"
        )
    twice = table["source"].duplicated()
    if twice.any():
        first = table.loc[twice, "source"].iloc[0]
        raise InputError(f"{what} lists {first} twice; a picture has one class and one split")


def others(folder: Path, part: str, names: Mapping[int, str], listed: pd.DataFrame) -> pd.DataFrame:
    """Unlisted pictures, as the split `rest`: files in the folders `part`/`names[label]` that `listed` does not name."""
    known = set(listed["source"])
    rows = []
    for label, name in names.items():
        found = (f"{part}/{name}/{picture}" for picture in pictures_below(folder / part / name))
        rows += [(source, label, "rest") for source in found if source not in known]
    return pd.DataFrame(rows, columns=["source", "class", "split"])


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the folders in `folder`. Raises InputError if there are none."""
    names = sorted(name for name, is_folder in _scan(folder) if is_folder and not name.startswith("."))
    if not names:
        raise InputError(f"{folder} has no folders; it must have one for each class")
    return names


def require_distinct(names: list[str], where: str) -> None:
    """Raise InputError if two names differ only in case, outer blanks or the encoding of accents.

    Not every file system can hold both.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold().strip(), name)
        if other != name:
            raise InputError(
                f"{where}: classes '{other}' and '{name}' differ only in case, blanks or the encoding of accents; rename or "
                "merge one"
            )


def pictures_below(folder: Path) -> list[str]:
    """Sorted paths of all pictures at any depth, relative to `folder`.

    Raises InputError if there are none, or if a link leads back to a folder above it.
    """
    found = sorted(_walk(folder, "", (folder.resolve(),)))
    if not found:
        raise InputError(f"{folder} has no pictures ({', '.join(PICTURES)}); add some or delete the folder")
    return found


def _walk(folder: Path, below: str, above: tuple[Path, ...]) -> Iterator[str]:
    for name, is_folder in _scan(folder):
        if name.startswith("."):
            continue
        if is_folder:
            inside = (folder / name).resolve()
            if inside in above:
                raise InputError(f"{folder / name} links back to {inside}, a folder above it; remove the link")
            yield from _walk(folder / name, f"{below}{name}/", (*above, inside))
        elif name.lower().endswith(PICTURES):
            yield below + name


def _scan(folder: Path) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) of each entry. Raises InputError if the folder, or a link in it, cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir()) for entry in entries]
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read: {error.strerror}") from None
