"""cifar100: 60,000 pictures of 32 x 32 in 100 classes, from `cifar-100-binary` under the data root."""

from pathlib import Path

from pipeline.data import cifar_binary
from pipeline.data.raw import RawData


def read(root: Path) -> RawData:
    """The official training and test split with the 100 fine labels; see `cifar_binary.read`."""
    return cifar_binary.read(
        root / "cifar-100-binary",
        train=["train.bin"],
        test="test.bin",
        names="fine_label_names.txt",
        label_bytes=2,
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
    )
