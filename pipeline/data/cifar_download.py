"""Download of CIFAR-10 and CIFAR-100 from their authors' page."""

import socket
from http.client import HTTPException
from pathlib import Path

from pipeline import locks
from pipeline.data.location import Location
from pipeline.errors import InputError

TIMEOUT = 60.0
"""Seconds without a byte after which a download has failed."""


def fetch(folder: Path, location: Location, url: str, md5: str) -> None:
    """Download and unpack the archive at `url` as `folder`, if `folder` is absent. Two jobs that want it take turns.

    Raises InputError if the download fails.
    """
    if folder.is_dir():
        return
    import tarfile

    from torchvision.datasets.utils import download_url

    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w", encoding="utf-8") as lock:
        locks.lock(lock.fileno())  # on a disk without locks, two may download at once, and one of them has to try again
        if folder.is_dir():
            return
        print(f"{folder} is missing: downloading {url}", flush=True)
        usual = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT)  # torchvision sets none, and would wait for ever
        try:
            download_url(url, folder.parent, md5=md5)
        except (OSError, HTTPException, RuntimeError) as error:
            why = " ".join(str(error).split())  # a server's own words may have several lines
            raise InputError(f"{folder} is missing and its download failed ({why}): {location.how_to_get}") from None
        finally:
            socket.setdefaulttimeout(usual)
        unpacked = folder.with_name(f".{folder.name}.part")
        with tarfile.open(folder.parent / url.rsplit("/", 1)[1]) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python has it since 3.11.4
            archive.extractall(unpacked)
        (unpacked / location.folder).replace(folder)
        unpacked.rmdir()
