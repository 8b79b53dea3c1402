"""cifar10: 60,000 pictures of 32 x 32 in 10 classes, from `cifar-10-batches-bin` under the data root."""

from pathlib import Path

from pipeline.data import cifar_binary
from pipeline.data.raw import RawData


def read(root: Path) -> RawData:
    """The official training and test split; see `cifar_binary.read`."""
    return cifar_binary.read(
        root / "cifar-10-batches-bin",
        train=[f"data_batch_{i}.bin" for i in range(1, 6)],
        test="test_batch.bin",
        names="batches.meta.txt",
        label_bytes=1,
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
    )
