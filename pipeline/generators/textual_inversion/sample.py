"""Draw pictures from prompts with learned vectors in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pipeline.artifacts import made, shards
from pipeline.errors import InputError
from pipeline.foundations.table import identity
from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.text_to_image.stable_diffusion import StableDiffusion
from pipeline.generators.textual_inversion.files import read
from pipeline.generators.textual_inversion.words import Words
from pipeline.jobs.inputs import only


class Sampler(PretrainedSampler):
    """Stable Diffusion that draws from the rows' prompts, and the vectors of their class and checkpoint.

    inputs: also `generator`, the table of the learned vectors. Raises InputError if they were learned with another model.
    """

    def model(self, found: dict[str, Any]) -> Model:
        path, foundation = only(self.inputs, "generator"), only(self.inputs, "foundation")
        learned = made.about(path)
        if learned.get("foundation") != identity(foundation):
            raise InputError(f"{path.parent} was learned with another model than {foundation}; learn it again")
        states = shards.read_table(path, ["class", "folder"])
        folders = {row[0]: path.parent / row.folder for row in states.drop_duplicates("class").itertuples(index=False)}
        return _WithVectors(found, self.how, self.device, folders, learned)


class _WithVectors(StableDiffusion):
    def __init__(
        self,
        found: Mapping[str, Any],
        draw: Mapping[str, Any],
        device: torch.device,
        folders: Mapping[int, Path],
        learned: Mapping[str, Any],
    ):
        super().__init__(found, draw, device)
        self._folders = folders
        self._words = Words(found["tokenizer"], found["text_encoder"], learned["placeholder"], learned["vectors"])

    def cut(self, prompts: list[str]) -> int:
        return self._words.cut(prompts)

    def conditions(self, rows: pd.DataFrame) -> torch.Tensor:
        """Hidden states of the rows' prompts with their vectors, [B, tokens, width]."""
        drawn = zip(rows["class"].tolist(), rows["checkpoint"].tolist(), strict=True)
        vectors = torch.stack([read(self._folders[label], label, step) for label, step in drawn]).to(self.device)
        return self._words.encoded(self._words.tokens(rows["prompt"].tolist()), vectors)
