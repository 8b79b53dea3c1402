"""Digests that show damage: those of any file, and the seals of files that hold their own.

A seal is the SHA-256 of the file without the seal's own digits. It stands in text for which the file's format has room.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO

_MARK = b"sealed by sha256 "
_LENGTH = 64
BLANK = (_MARK + b"0" * _LENGTH).decode()
"""Placeholder for a seal. A file must hold it once, in its first or last MiB."""
_REACH = _BLOCK = 2**20


def digest(path: Path) -> str:
    """A file's SHA-256, 64 hexadecimal digits as sha256sum prints them."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path) -> None:
    """Replace the BLANK of a file by its seal."""
    with open(path, "rb+") as file:
        place = _place(file)
        assert place is not None, f"{path} has no place for a seal"
        found = _digest_but(file, place)
        file.seek(place)
        file.write(found.encode())


def stated(path: Path) -> str | None:
    """The digest in a file's seal; None without a seal. In a damaged file it may still be the right one."""
    with open(path, "rb") as file:
        place = _place(file)
        if place is None:
            return None
        file.seek(place)
        return file.read(_LENGTH).decode("ascii", "replace")


def is_whole(path: Path) -> bool:
    """Whether a sealed file has exactly the bytes that were sealed."""
    with open(path, "rb") as file:
        place = _place(file)
        if place is None:
            return False
        file.seek(place)
        return file.read(_LENGTH) == _digest_but(file, place).encode()


def _place(file: BinaryIO) -> int | None:
    """Position of the seal's digits in a file, or None."""
    size = file.seek(0, 2)
    for start in (max(0, size - _REACH), 0):
        file.seek(start)
        found = file.read(_REACH).rfind(_MARK)
        if found >= 0:
            return start + found + len(_MARK)
    return None


def _digest_but(file: BinaryIO, place: int) -> str:
    """The digest of a file without the digits at `place`."""
    found = hashlib.sha256()
    for start, end in ((0, place), (place + _LENGTH, file.seek(0, 2))):
        file.seek(start)
        for position in range(start, end, _BLOCK):
            found.update(file.read(min(_BLOCK, end - position)))
    return found.hexdigest()
