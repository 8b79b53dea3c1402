"""Where a source's raw files lie, and what to tell who lacks them. Light, for the Snakefile asks before any job starts."""

from pathlib import Path
from typing import NamedTuple

from pipeline.errors import InputError


class Location(NamedTuple):
    """A folder below the data root, what must be in it, and how to get it."""

    folder: str
    """Where the raw files are looked for, unless the data set's `path` says otherwise."""
    needs: tuple[str, ...] = ()
    """Files and folders that must be there, relative to the folder; alternatives are separated by |."""
    how_to_get: str = ""
    fetched: bool = False
    """Whether it is downloaded where the folder is absent."""

    def missing(self, folder: Path) -> list[str]:
        """What of `needs` is not there; nothing where it will be fetched."""
        if self.fetched and not folder.is_dir():
            return []
        return [need for need in self.needs if not any((folder / name).exists() for name in need.split("|"))]

    def complain(self, folder: Path) -> str | None:
        """One sentence: what is missing, where it was looked for, how to get it; None where nothing is missing."""
        missing = self.missing(folder)
        if not missing:
            return None
        if not folder.is_dir():
            return f"{folder} is not there: {self.how_to_get}"
        shown = ", ".join(need.replace("|", " or ") for need in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return f"{folder} lacks {shown}{more}: {self.how_to_get}"

    def require(self, folder: Path) -> None:
        """Raise InputError where something is missing."""
        if complaint := self.complain(folder):
            raise InputError(complaint)
