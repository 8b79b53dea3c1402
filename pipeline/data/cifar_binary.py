"""Reading and fetching the binary version of CIFAR-10 and CIFAR-100 (Krizhevsky 2009)."""

import fcntl
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.data.location import Location
from pipeline.data.raw import RawData, read_exactly
from pipeline.errors import InputError

PIXELS = 3 * 32 * 32


def read(
    folder: Path, location: Location, train: Sequence[str], test: str, names: str, label_bytes: int, url: str, md5: str
) -> RawData:
    """Read a folder of binary batches, fetched first where the folder is absent.

    A record is `label_bytes` label bytes, of which the last is the class, and 3,072 bytes, channel first.
    Raises InputError for a missing or truncated file.
    """
    if not folder.is_dir():
        _fetch(folder, location, url, md5)
    location.require(folder)
    class_names = (folder / names).read_text().split()
    records = 50_000 // len(train)
    batches = [_records(folder / name, records, label_bytes, location) for name in train]
    train_pictures, train_labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    test_pictures, test_labels = _records(folder / test, 10_000, label_bytes, location)
    if max(train_labels.max(), test_labels.max()) >= len(class_names):
        raise InputError(
            f"{folder} holds labels beyond the {len(class_names)} classes of {names}: {location.how_to_get}"
        )
    return RawData(class_names, train_pictures, train_labels, test_pictures, test_labels)


def _records(path: Path, count: int, label_bytes: int, location: Location) -> tuple[np.ndarray, np.ndarray]:
    data = read_exactly(path, count * (label_bytes + PIXELS), location.how_to_get)
    rows = np.frombuffer(data, np.uint8).reshape(count, label_bytes + PIXELS)
    pictures = rows[:, label_bytes:].reshape(count, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pictures), rows[:, label_bytes - 1].astype(np.int64)


def _fetch(folder: Path, location: Location, url: str, md5: str) -> None:
    """Download and unpack the archive; two jobs that want it at once take turns."""
    import tarfile

    from torchvision.datasets.utils import download_url

    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        print(f"{folder} is not there: fetching {url}", flush=True)
        try:
            download_url(url, folder.parent, md5=md5)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{folder} is missing and could not be fetched ({error}): {location.how_to_get}") from None
        unpacked = folder.with_name(f".{folder.name}.part")
        with tarfile.open(folder.parent / url.rsplit("/", 1)[1]) as archive:
            archive.extractall(unpacked, filter="data")
        (unpacked / location.folder).replace(folder)
        unpacked.rmdir()
