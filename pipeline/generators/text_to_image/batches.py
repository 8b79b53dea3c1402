"""Draw the rows of a plan from their texts, in batches of one shape."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pandas as pd
import torch


class Model(Protocol):
    """A model that draws from texts."""

    def cut(self, prompts: list[str]) -> int:
        """Number of prompts that are longer than the text encoder reads."""

    def draw(self, prompts: list[str], generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in about [0, 1], [B, 3, H, W]; each has its own generator, which draws on the CPU."""


@torch.inference_mode()
def in_batches(model: Model, rows: pd.DataFrame, batch_size: int) -> Iterator[np.ndarray]:
    """Draw pictures for rows of the plan, in order, as batches float32 [B, H, W, 3].

    Values are in 0..255, or NaN if the network's are not finite. A picture depends only on the prompt and seed of its row:
    every batch has the same shape, the last one padded.
    """
    prompts, seeds = rows["prompt"].tolist(), rows["seed"].tolist()
    if cut := model.cut(prompts):
        print(f"{cut} of {len(prompts)} prompts are longer than the text encoder reads; their ends are cut", flush=True)
    for start in range(0, len(rows), batch_size):
        texts, own = (values[start : start + batch_size] for values in (prompts, seeds))
        padding = batch_size - len(own)
        generators = [torch.Generator().manual_seed(seed) for seed in own + own[-1:] * padding]
        pictures = model.draw(texts + texts[-1:] * padding, generators)[: len(own)].float()
        levels = (pictures.clamp(0, 1) * 255).masked_fill(~pictures.isfinite(), torch.nan)
        yield levels.permute(0, 2, 3, 1).cpu().numpy()
