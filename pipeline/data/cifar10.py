"""cifar10: 60,000 pictures of 32 x 32 in 10 classes, in the binary version's files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
LOCATION = Location(
    folder="cifar-10-batches-bin",
    needs=(*TRAIN, "test_batch.bin", "batches.meta.txt"),
    how_to_get=f"unpack {URL} (md5 {MD5}) in the data root",
    fetched=True,
)


def open_source(folder: Path, settings: Mapping[str, Any]):
    """The official training and test split, downloaded if `folder` is absent."""
    from pipeline.data import cifar_binary, cifar_download
    from pipeline.data.raw import ArraySource

    cifar_download.fetch(folder, LOCATION, URL, MD5)
    return ArraySource(cifar_binary.read(folder, LOCATION, TRAIN, "test_batch.bin", "batches.meta.txt", label_bytes=1))
