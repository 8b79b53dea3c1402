"""Files in folders and in lists: found in an order of their own, and missed before hours of work."""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipeline.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def read_list(path: Path, split: str) -> pd.DataFrame:
    """An official list, a path and a label a line: source, class, split. Raises InputError naming a wrong line."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    sources, labels = [], []
    for number, line in enumerate(lines, 1):
        source, _, label = line.strip().rpartition(" ")
        if not (source and label.isdecimal()):
            if not label:
                continue
            raise InputError(f"{path}, line {number}: '{line[:80]}' must be a path, a space and a label from 0")
        sources.append(require_inside(source.rstrip(), f"{path}, line {number}"))
        labels.append(int(label))
    if not sources:
        raise InputError(f"{path} is empty; a path and a label a line are expected")
    return pd.DataFrame({"source": sources, "class": labels, "split": split})


def require_inside(source: str, where: str) -> str:
    """The path, normalised; InputError where it leads out of the data set's folder."""
    if source and source[0] not in "/." and "/." not in source and "//" not in source and "\\" not in source:
        return source  # nearly all, and there may be millions
    normal = os.path.normpath(source.replace("\\", "/"))
    if Path(normal).is_absolute() or normal.split("/")[0] in ("..", "."):
        raise InputError(f"{where}: '{source}' lies outside the data set's folder; paths must be relative and below it")
    return normal


def require_files(folder: Path, table: pd.DataFrame, what: str) -> None:
    """InputError where files of `table` are not below `folder`, with their number and the first five, or are listed twice."""
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
    """What a list leaves out, as `rest`: pictures of `part`/`names[label]` that `listed` does not have."""
    known = set(listed["source"])
    rows = []
    for label, name in names.items():
        found = (f"{part}/{name}/{picture}" for picture in pictures_below(folder / part / name))
        rows += [(source, label, "rest") for source in found if source not in known]
    return pd.DataFrame(rows, columns=["source", "class", "split"])


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the folders in `folder`; InputError for none."""
    names = sorted(name for name, is_folder in _scan(folder) if is_folder and not name.startswith("."))
    if not names:
        raise InputError(f"{folder} has no folders; one for each class is expected")
    return names


def require_distinct(names: list[str], where: str) -> None:
    """InputError where two names look the same but for case, which not every file system tells apart, or outer blanks."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold().strip(), name)
        if other != name:
            raise InputError(
                f"{where}: classes '{other}' and '{name}' differ in case, blanks or the writing of accents only; rename or "
                "merge one"
            )


def pictures_below(folder: Path) -> list[str]:
    """Paths of all pictures at any depth, relative to `folder`, sorted; InputError for none and for links in a circle."""
    found = sorted(_walk(folder, "", (folder.resolve(),)))
    if not found:
        raise InputError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
    return found


def _walk(folder: Path, below: str, above: tuple[Path, ...]) -> Iterator[str]:
    for name, is_folder in _scan(folder):
        if name.startswith("."):
            continue
        if is_folder:
            inside = (folder / name).resolve()
            if inside in above:
                raise InputError(f"{folder / name} links back to {inside}, a circle without end; remove the link")
            yield from _walk(folder / name, f"{below}{name}/", (*above, inside))
        elif name.lower().endswith(PICTURES):
            yield below + name


def _scan(folder: Path) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) of all that is in a folder; InputError where it or a link in it cannot be followed."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir()) for entry in entries]
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read: {error.strerror}") from None
