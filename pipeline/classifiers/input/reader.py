"""The input side of training: pictures in memory or in shards, as batches on the device.

Small pictures stay on the device and are augmented there. Large ones stay in their shards; threads read and decode those
that the next steps need. Both accept any positions in any order, so every sampler works at any picture size.
"""

import contextlib
import io
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import simplejpeg
import torch
from PIL import ExifTags, Image
from torch.nn import functional

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import MOST_PIXELS, decode
from pipeline.classifiers import AT_ONCE
from pipeline.classifiers.augment.geometry import NARROWEST, WIDEST
from pipeline.cores import cores
from pipeline.errors import InputError

AHEAD = 4
"""Batches decoded ahead of the one in use."""
THINNEST = 8
"""Longer side of a picture, in shorter sides; what is beyond is cut off before the middle is scaled."""
MOST_IN_MEMORY = 64
"""Largest side, in pixels, of pictures kept in memory; larger ones stay in their shards."""

Positions = np.ndarray | torch.Tensor


class Pictures(Protocol):
    """Pictures that a training loop goes through, at positions 0..N-1."""

    def __len__(self) -> int: ...

    def batches(
        self,
        orders: Iterable[Positions],
        views: Sequence[float | None] = (None,),
        uniforms: Callable[[int], torch.Tensor] | None = None,
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """One batch per view, uint8 [B, 3, H, W] on the device, for each of `orders`, int64 positions [B] on the CPU.

        A view of a large picture is a random resized crop, given as its smallest share of the area, or the middle if
        None. uniforms(step) gives the crops' random numbers, float32 [B, views, 11, 2] in [0, 1), as
        `resized_crop_boxes` takes them; steps count from 0 in `orders`. Views of small pictures are the pictures
        themselves, all one tensor.
        """


def open_pictures(
    tables: Sequence[tuple[pd.DataFrame, Path]], side: int | None, device: torch.device
) -> "InMemory | OnDisk":
    """Open the pictures of tables of shards, table after table, as squares of `side` pixels if given.

    Pictures up to 64 px, or without a given side, are read at once. Raises InputError if their sizes differ. If they
    cannot fit into memory, it is raised before they are read.
    """
    if side and side > MOST_IN_MEMORY:
        processes = int(os.getenv("LOCAL_WORLD_SIZE", "1"))  # started by torchrun on this machine
        return OnDisk(tables, side, device, max(1, cores() // processes))
    _expect_room(tables, side, device)
    pictures = [shards.read_pictures(table, folder, side) for table, folder in tables]
    if len({part.shape[1:] for part in pictures if len(part)}) > 1:
        folders = " and ".join(str(folder) for _, folder in tables)
        raise InputError(f"the pictures of {folders} have different sizes; give the classifier's `side`, in pixels")
    return InMemory(np.concatenate(pictures) if len(pictures) > 1 else pictures[0], device)


def all_at_once(tables: Sequence[tuple[pd.DataFrame, Path]], side: int | None, device: torch.device) -> torch.Tensor:
    """All pictures of the tables, uint8 [N, 3, H, W] on the device, as `open_pictures` shows them without augmentation."""
    pictures = open_pictures(tables, side, device)
    orders = torch.arange(len(pictures)).split(AT_ONCE)  # in parts, because large pictures pass through pinned memory
    return torch.cat([batch for (batch,) in pictures.batches(orders)])


def to_batch(pictures: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 [N, H, W, 3] NumPy pictures as a uint8 [N, 3, H, W] tensor on `device`."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().to(device)


class InMemory:
    """Pictures uint8 [N, H, W, 3] as one tensor on the device."""

    def __init__(self, pictures: np.ndarray, device: torch.device):
        self._pictures = to_batch(pictures, device)

    def __len__(self) -> int:
        return len(self._pictures)

    def batches(
        self,
        orders: Iterable[Positions],
        views: Sequence[float | None] = (None,),
        uniforms: Callable[[int], torch.Tensor] | None = None,
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """As in `Pictures`."""
        for positions in orders:
            rows = torch.as_tensor(positions).to(self._pictures.device, non_blocking=True)
            yield (self._pictures[rows],) * len(views)


class OnDisk:
    """Pictures of tables with the columns key, shard, offset, size and crc32, one after the other, as squares of `side`.

    Each table comes with the folder that its shards' paths are relative to. `workers` threads read the pictures; they are
    as fast as processes here, because decoding and resizing release Python's lock.
    """

    def __init__(self, tables: Sequence[tuple[pd.DataFrame, Path]], side: int, device: torch.device, workers: int):
        self._shards: list[Path] = []
        places = []
        for table, folder in tables:
            numbers, names = pd.factorize(table["shard"])
            places.append(table[["key", "offset", "size", "crc32"]].assign(shard=numbers + len(self._shards)))
            self._shards += [folder / name for name in names]
        self._places = pd.concat(places, ignore_index=True)
        self._side, self._device, self._workers = side, device, workers

    def __len__(self) -> int:
        return len(self._places)

    def batches(
        self,
        orders: Iterable[Positions],
        views: Sequence[float | None] = (None,),
        uniforms: Callable[[int], torch.Tensor] | None = None,
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """As in `Pictures`. The result depends neither on the number of workers nor on which finishes first.

        Raises InputError if a shard is missing, or a record is damaged or not a picture. No thread outlives the iterator.
        """
        threads = ThreadPoolExecutor(self._workers, "pictures")
        begun: deque[tuple[torch.Tensor, list[Future]]] = deque()
        try:
            for step, positions in enumerate(orders):
                begun.append(self._begin(threads, positions, views, uniforms(step) if uniforms else None))
                if len(begun) > AHEAD:
                    yield self._finished(*begun.popleft())
            while begun:
                yield self._finished(*begun.popleft())
        finally:
            threads.shutdown(cancel_futures=True)

    def _begin(
        self,
        threads: ThreadPoolExecutor,
        positions: Positions,
        views: Sequence[float | None],
        uniforms: torch.Tensor | None,
    ) -> tuple[torch.Tensor, list[Future]]:
        shape = (len(views), len(positions), 3, self._side, self._side)
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        drawn = [[None] * len(views)] * len(positions) if uniforms is None else uniforms.tolist()
        rows = self._places.iloc[np.asarray(positions)].itertuples()
        places = zip(rows, drawn, batch.numpy().swapaxes(0, 1), strict=True)
        return batch, [threads.submit(self._read, row, views, *into) for row, *into in places]

    def _read(self, row: Any, views: Sequence[float | None], drawn: list, into: np.ndarray) -> None:
        """Read one picture's views into uint8 [views, 3, side, side]."""
        with shards.opened(self._shards[row.shard]) as file:
            picture = shards.read_record(file, row, _decoded)
        for smallest, uniforms, square in zip(views, drawn, into, strict=True):
            if smallest is None:
                square[:] = _middle(picture, self._side)
            else:
                top, left, height, width = _resized_crop_box(uniforms, *picture.shape[:2], smallest)
                square[:] = _resized(picture[top : top + height, left : left + width], self._side, self._side)

    def _finished(self, batch: torch.Tensor, reads: list[Future]) -> tuple[torch.Tensor, ...]:
        for read in reads:
            read.result()
        return batch.to(self._device, non_blocking=True).unbind()


def _expect_room(tables: Sequence[tuple[pd.DataFrame, Path]], side: int | None, device: torch.device) -> None:
    """Raise InputError if the pictures need more memory than the machine or its GPU has."""
    needed = sum(len(table) * shards.read_pictures(table[:1], folder, side).nbytes for table, folder in tables)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if device.type == "cuda":
        there = min(there, torch.cuda.get_device_properties(device).total_memory)
    if needed > there:
        raise InputError(
            f"{sum(len(table) for table, _ in tables)} pictures need {needed / 1e9:.0f} GB of memory, but there are only "
            f"{there / 1e9:.0f} GB; use fewer, or give the classifier a `side` above {MOST_IN_MEMORY}: larger pictures "
            "are read from their shards when they are needed"
        )


def _decoded(data: bytes) -> np.ndarray:
    """Decode as `decode` does, in a third of the time for a plain JPEG; `decode` itself handles other files and all faults."""
    with contextlib.suppress(Exception):
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        plain = image.format == "JPEG" and image.mode in ("RGB", "L") and image.width * image.height <= MOST_PIXELS
        if plain and image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return simplejpeg.decode_jpeg(data)
    return decode(data)


def _middle(picture: np.ndarray, side: int) -> np.ndarray:
    """ImageNet's usual evaluation view: the shorter side is resized to 8/7 of `side`, then centre-cropped.

    At 224 px this is torchvision's Resize(256) and CenterCrop(224), with its rounding.
    """
    shorter = min(picture.shape[:2])
    # a picture of 2 x 12,000 pixels would be scaled to 1,500,000 pixels, of which 224 are used
    top, left = (max(0, length - THINNEST * shorter) // 2 for length in picture.shape[:2])
    picture = picture[top : picture.shape[0] - top, left : picture.shape[1] - left]
    height, width = (length * (side * 8 // 7) // shorter for length in picture.shape[:2])
    top, left = round((height - side) / 2), round((width - side) / 2)
    return _resized(picture, height, width)[:, top : top + side, left : left + side]


def _resized_crop_box(
    uniforms: Sequence[Sequence[float]], height: int, width: int, smallest: float
) -> tuple[int, int, int, int]:
    """`resized_crop_boxes` for one picture, without tensors.

    Pictures of different sizes need a call each, and tensors of one element would take a fifth of a worker's time.
    """
    *tries, (down, right) = uniforms
    for share, place in tries:
        area = height * width * (smallest + (1 - smallest) * share)
        ratio = NARROWEST * (WIDEST / NARROWEST) ** place
        tall, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < tall <= height and 0 < wide <= width:
            return int(down * (height - tall + 1)), int(right * (width - wide + 1)), tall, wide
    tall, wide = min(height, round(width / NARROWEST)), min(width, round(height * WIDEST))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def _resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize [H, W, 3] to uint8 [3, height, width]: Pillow's antialiased bilinear within two levels, in a third of its time."""
    channels_first = torch.from_numpy(np.require(picture, requirements=["C", "W"])).permute(2, 0, 1)[None]
    resized = functional.interpolate(channels_first, size=(height, width), mode="bilinear", antialias=True)
    return resized[0].numpy()
