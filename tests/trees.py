"""Made-up trees of raw data, in the layouts in which their owners ship them."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.imagenet_classes import CLASSES

WNIDS = list(CLASSES)


def picture(seed: int, side: int = 16, format: str = "JPEG", mode: str = "RGB") -> bytes:
    """A small picture, different for each seed."""
    random = np.random.RandomState(seed)
    levels = random.randint(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def put(root: Path, files: dict[str, bytes | str]) -> Path:
    """Write files, by their paths below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def imagenet(root: Path, train: dict[str, int], test: int = 2, flat: bool = False) -> Path:
    """train/<wnid>/*.JPEG with as many pictures as given, val/ with `test` a class, and lists of every second picture."""
    files: dict[str, bytes | str] = {}
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for wnid, count in train.items():
        label = WNIDS.index(wnid)
        for i in range(count):
            name = f"train/{wnid}/{wnid}_{i}.JPEG"
            files[name] = picture(1000 * label + i)
            lists[("train", "val")[i % 2]].append(f"{name} {label}")
        for i in range(test):
            name = f"ILSVRC2012_val_{label:04d}{i:04d}.JPEG"
            files[f"val/{name}" if flat else f"val/{wnid}/{name}"] = picture(10**6 + 1000 * label + i)
            lists["test"].append(f"val/{wnid}/{name} {label}")
    files |= {f"ImageNet_LT_{split}.txt": "\n".join(lines) + "\n" for split, lines in lists.items()}
    return put(root, files)


def places(root: Path, train: dict[str, int], test: int = 2) -> Path:
    files: dict[str, bytes | str] = {}
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, (name, count) in enumerate(train.items()):
        for i in range(count + 2):
            path = f"train/{name}/{i:08d}.jpg"
            files[path] = picture(100 * label + i)
            lists["train" if i < count else "val"].append(f"{path} {label}")
        for i in range(test):
            path = f"val/{name}/Places365_val_{label:04d}{i:04d}.jpg"
            files[path] = picture(10**6 + 100 * label + i)
            lists["test"].append(f"{path} {label}")
    files |= {f"Places_LT_{split}.txt": "\n".join(lines) for split, lines in lists.items()}
    return put(root, files)


def inaturalist(root: Path, train: list[int]) -> dict[str, list[str]]:
    """train_val2018/<kingdom>/<label>/*.jpg; returns the lines of the usual lists, which are not written."""
    files: dict[str, bytes | str] = {}
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for label, count in enumerate(train):
        for i in range(count + 1):
            name = f"train_val2018/{'Plantae' if label % 2 else 'Aves'}/{label}/{label:02d}{i:030x}.jpg"
            files[name] = picture(100 * label + i)
            lists["train" if i < count else "val"].append(f"{name} {label}")
    put(root, files)
    return lists


def nico(root: Path, groups: dict[tuple[str, str], int]) -> Path:
    """public_dg_0416/train/<context>/<label>/*.jpg."""
    tiny = {seed: picture(seed, side=8) for seed in range(7)}
    files: dict[str, bytes | str] = {}
    for (context, label), count in groups.items():
        for i in range(count):
            files[f"public_dg_0416/train/{context}/{label}/{label}_{i:06d}.jpg"] = tiny[i % 7]
    return put(root, files)


def fashion_mnist(root: Path, packed: bool, train: int = 40, test: int = 20) -> Path:
    """The four IDX files, with labels 0..9 in turn."""
    files: dict[str, bytes | str] = {}
    for prefix, count in (("train", train), ("t10k", test)):
        levels = np.random.RandomState(count).randint(0, 256, (count, 28, 28), np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = struct.pack(">IIII", 0x803, count, 28, 28) + levels.tobytes()
        files[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))
    if packed:
        files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    return put(root, files)


def real_imagenet(shared_data: Path, root: Path) -> dict[str, list[str]]:
    """The 1,000 sample pictures under names that the official 90-class lists give, 11 or 12 a class; and the lists' rows."""
    with tarfile.open(shared_data / "imagenet_sample_112.tar") as archive:
        samples = [archive.extractfile(member).read() for member in archive if member.isfile()]
    lists, spare = {}, []
    for split, most in {"train": 9, "val": 1, "test": 1}.items():
        packed = (shared_data / f"splits/ImageNet_LT_{split}_90.txt.gz").read_bytes()
        of_class: dict[str, list[str]] = {}
        for row in gzip.decompress(packed).decode().splitlines():
            of_class.setdefault(row.split()[1], []).append(row)
        lists[split] = [row for found in of_class.values() for row in found[:most]]
        if split == "train":
            spare = [row for found in of_class.values() for row in found[most:]]
    lists["train"] += spare[: len(samples) - sum(map(len, lists.values()))]
    names = [row.split()[0] for rows in lists.values() for row in rows]
    assert len(names) == len(samples) == 1000
    put(root, dict(zip(names, samples, strict=True)))
    put(root, {f"ImageNet_LT_{split}.txt": "\n".join(rows) for split, rows in lists.items()})
    return lists
