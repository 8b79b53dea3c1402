"""CLIP's embeddings of the real pictures that rows of a plan start from, as the stage `embeddings` writes them."""

from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open

from pipeline.artifacts import shards
from pipeline.artifacts.made import checked_digest


class SourceEmbeddings:
    """Embeddings by the keys of their pictures. manifest: the subset's table of these. Raises InputError if the file is damaged."""

    def __init__(self, manifest: Path, embeddings: Path):
        checked_digest(embeddings)
        table = shards.read_table(manifest, ["key", "split"])
        self._rows = pd.Index(table.loc[table["split"] == "train", "key"])
        self._file = safe_open(embeddings, "pt")

    def of(self, keys: pd.Series) -> torch.Tensor:
        """float32 [N, D] on the CPU."""
        stored = self._file.get_slice("embeddings")
        return torch.stack([stored[row] for row in self._rows.get_indexer_for(keys).tolist()])
