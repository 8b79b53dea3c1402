"""Features of pictures under the CLIP of a foundation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image

from pipeline.artifacts import shards
from pipeline.evaluation.extractors import Extractor
from pipeline.foundations import clip
from pipeline.foundations.table import folder_of
from pipeline.jobs.inputs import Inputs, only

AT_ONCE = 64


def load(settings: Mapping[str, Any], inputs: Inputs, side: int | None, device: torch.device) -> Extractor:
    """The CLIP of the input `foundation`. Features are its embeddings, not normalised, float32 [N, width]; there are no logits.

    Real pictures are resized to the pool's side first; then all are prepared as the CLIP's own.
    """
    loaded = clip.load(folder_of(only(inputs, "foundation")))
    model = loaded.model.to(device)

    @torch.inference_mode()
    def extract(table: pd.DataFrame, folder: Path) -> tuple[torch.Tensor, None]:
        found = []
        for start in range(0, len(table), AT_ONCE):
            pictures = shards.read_pictures(table.iloc[start : start + AT_ONCE], folder, side)
            prepared = torch.stack([loaded.preprocess(Image.fromarray(picture)) for picture in pictures])
            found.append(model.encode_image(prepared.to(device)).float().cpu())
        return torch.cat(found), None

    return extract
