"""cifar100: 60,000 pictures of 32 x 32 in 100 classes, in the binary version's files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
MD5 = "03b5dce01913d631647c71ecec9e9cb8"
LOCATION = Location(
    folder="cifar-100-binary",
    needs=("train.bin", "test.bin", "fine_label_names.txt"),
    how_to_get=f"unpack {URL} (md5 {MD5}) in the data root",
    fetched=True,
)


def open_source(folder: Path, settings: Mapping[str, Any]):
    """The official training and test split with the 100 fine labels, downloaded if `folder` is absent."""
    from pipeline.data import cifar_binary, cifar_download
    from pipeline.data.raw import ArraySource

    cifar_download.fetch(folder, LOCATION, URL, MD5)
    data = cifar_binary.read(folder, LOCATION, ("train.bin",), "test.bin", "fine_label_names.txt", label_bytes=2)
    return ArraySource(data)
