"""Networks that see pictures as vectors, to measure a pool with; one module per kind.

A module has `load(settings, inputs, side, device)`: a function from pictures, as rows of a table of shards and its folder, to features,
float [N, D], and to logits, float [N, classes], or None without any, both on the CPU. `side` is that of the pool's pictures.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

Extractor = Callable[[pd.DataFrame, Path], tuple[torch.Tensor, torch.Tensor | None]]
