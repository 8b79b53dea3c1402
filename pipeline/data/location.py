"""Where a source's raw files are, and how to obtain missing ones. Import-light, because the Snakefile reads it."""

from pathlib import Path
from typing import NamedTuple

from pipeline.errors import InputError


class Location(NamedTuple):
    """A source's folder below the data root, the files it needs, and how to obtain them."""

    folder: str
    """The folder searched, unless the data set gives a `path`."""
    needs: tuple[str, ...] = ()
    """Required files and folders, relative to the folder. Alternatives are separated by |."""
    how_to_get: str = ""
    fetched: bool = False
    """Whether an absent folder is downloaded."""

    def missing(self, folder: Path) -> list[str]:
        """The missing entries of `needs`; none if the folder will be downloaded."""
        if self.fetched and not folder.is_dir():
            return []
        return [need for need in self.needs if not any((folder / name).exists() for name in need.split("|"))]

    def complain(self, folder: Path) -> str | None:
        """One sentence about missing files, the path searched, and how to obtain them. None if nothing is missing."""
        missing = self.missing(folder)
        if not missing:
            return None
        if not folder.is_dir():
            return f"{folder} is missing: {self.how_to_get}"
        shown = ", ".join(need.replace("|", " or ") for need in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return f"{folder} lacks {shown}{more}: {self.how_to_get}"

    def require(self, folder: Path) -> None:
        """Raise InputError if something is missing."""
        if complaint := self.complain(folder):
            raise InputError(complaint)
