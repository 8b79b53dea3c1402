"""Picture files, from folders and from official lists, in an order that does not depend on the file system."""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipeline.artifacts.pictures import ENDINGS, is_picture
from pipeline.data.folders import is_data, shown
from pipeline.errors import InputError


class Skipped:
    """What a listing of folders leaves out: kind -> number and first path."""

    def __init__(self) -> None:
        self._found: dict[str, list] = {}

    def add(self, kind: str, path: str) -> None:
        entry = self._found.setdefault(kind, [0, path])
        entry[0] += 1
        entry[1] = min(entry[1], path)

    def rows(self) -> list[tuple[str, int, str]]:
        """(kind, number, `first` and the first path) in the order of kinds."""
        return [(kind, number, f"first {shown(first)}") for kind, (number, first) in sorted(self._found.items())]


def read_list(path: Path, split: str) -> pd.DataFrame:
    """Read an official list, with a path and a label on each line, as a table: source, class, split.

    Raises InputError with the number of a wrong line.
    """
    lines = text_of(path).split("\n")
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


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises InputError that names the first wrong byte."""
    if not path.is_file():  # a pipe would wait for ever
        raise InputError(f"{path} is no file")
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
            " (spreadsheets call it CSV UTF-8)"
        ) from None


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
            there[parent] = {found for found, kind in _scan(inside) if kind == FILE} if inside.is_dir() else set()
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


def others(
    folder: Path, part: str, names: Mapping[int, str], listed: pd.DataFrame, skipped: Skipped | None = None
) -> pd.DataFrame:
    """Unlisted pictures, as the split `rest`: files in the folders `part`/`names[label]` that `listed` does not name."""
    known = set(listed["source"])
    rows = []
    for label, name in names.items():
        found = (f"{part}/{name}/{picture}" for picture in pictures_below(folder / part / name, skipped))
        rows += [(source, label, "rest") for source in found if source not in known]
    return pd.DataFrame(rows, columns=["source", "class", "split"])


def class_folders(folder: Path, skipped: Skipped | None = None) -> list[str]:
    """Sorted names of the folders in `folder`. Raises InputError if there are none."""
    skipped = skipped or Skipped()
    names = []
    for name, kind in _scan(folder):
        if not is_data(name):
            skipped.add(_no_data(name), str(folder / name))
        elif kind == FOLDER:
            names.append(name)
        elif name.lower().endswith(ENDINGS):
            skipped.add("pictures beside the folders of classes", str(folder / name))
    if not names:
        raise InputError(f"{folder} has no folders; it must have one for each class")
    _require_utf8(folder, names)
    return sorted(names)


def require_distinct(names: list[str], where: str) -> None:
    """Raise InputError if two names differ only in case, blanks, underscores, invisible letters or the encoding of accents.

    Not every file system can hold both, and in a prompt they are the same words.
    """
    seen: dict[str, str] = {}
    for name in names:
        visible = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
        words = " ".join(unicodedata.normalize("NFC", visible).casefold().replace("_", " ").split())
        other = seen.setdefault(words, name)
        if other != name:
            raise InputError(
                f"{where}: classes '{other}' and '{name}' differ only in case, blanks, underscores or the encoding of "
                "accents; rename or merge one"
            )


def pictures_below(folder: Path, skipped: Skipped | None = None) -> list[str]:
    """Sorted paths of all pictures at any depth, relative to `folder`: files with one of ENDINGS, or pictures without ending.

    Everything else is added to `skipped`. Raises InputError if there are no pictures, if a link leads back to a folder above
    it, if a picture is a pipe, a device or a link to nothing, or if a name is not UTF-8.
    """
    skipped = skipped if skipped is not None else Skipped()
    found = sorted(_walk(folder, "", (folder.resolve(),), skipped))
    if not found:
        inside = "; ".join(f"{number} {kind}" for kind, number, which in skipped.rows() if f" {folder}/" in which)
        raise InputError(
            f"{folder} has no pictures ({', '.join(ENDINGS)}); add some or delete the folder"
            + (f" (there are {inside})" if inside else "")
        )
    _require_utf8(folder, found)
    return found


def _walk(folder: Path, below: str, above: tuple[Path, ...], skipped: Skipped) -> Iterator[str]:
    for name, kind in _scan(folder):
        if not is_data(name):
            skipped.add(_no_data(name), str(folder / name))
        elif kind == FOLDER:
            inside = (folder / name).resolve()
            if inside in above:
                raise InputError(f"{folder / name} links back to {inside}, a folder above it; remove the link")
            yield from _walk(folder / name, f"{below}{name}/", (*above, inside), skipped)
        elif name.lower().endswith(ENDINGS):
            if kind != FILE:
                raise InputError(f"{folder / name} is no file but a pipe, a device or a link to nothing; remove it")
            yield below + name
        elif kind == FILE and "." not in name and is_picture(folder / name):
            yield below + name
        else:
            ending = Path(name).suffix.lower()
            skipped.add(
                f"files with the ending {shown(ending)}" if ending else "files without ending", str(folder / name)
            )


def _no_data(name: str) -> str:
    return "hidden files and folders" if name.startswith(".") else f"files and folders called {name}"


def _require_utf8(folder: Path, names: list[str]) -> None:
    """Raise InputError for names that are not UTF-8, which no table can hold."""
    wrong = [name for name in names if not name.isascii() and _is_escaped(name)]
    if wrong:
        raise InputError(
            f"{folder}: {len(wrong)} names are not UTF-8 (first: {shown(wrong[0])}); rename them, or unpack the archive "
            "with the encoding of its names"
        )


def _is_escaped(name: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in name)


FILE, FOLDER, OTHER = "file", "folder", "other"


def _scan(folder: Path) -> list[tuple[str, str]]:
    """(name, FILE, FOLDER or OTHER) of each entry. Raises InputError if the folder, or a link in it, cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, FOLDER if entry.is_dir() else FILE if entry.is_file() else OTHER) for entry in entries]
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read: {error.strerror}") from None
