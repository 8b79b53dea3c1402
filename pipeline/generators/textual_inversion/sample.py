"""Draw pictures from prompts with learned vectors in them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from pipeline.generators.adapting import Learned, learned
from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.text_to_image.stable_diffusion import StableDiffusion
from pipeline.generators.textual_inversion.files import read
from pipeline.generators.textual_inversion.words import Words


class Sampler(PretrainedSampler):
    """Stable Diffusion that draws from the rows' prompts, and the vectors of their class and checkpoint.

    inputs: also `generator`, the table of the learned vectors. Raises InputError if they were learned with another model.
    """

    def model(self, found: dict[str, Any]) -> Model:
        return _WithVectors(found, self.how, self.device, self.feedback, learned(self.inputs))


class _WithVectors(StableDiffusion):
    def __init__(
        self,
        found: Mapping[str, Any],
        draw: Mapping[str, Any],
        device: torch.device,
        feedback: Any,
        of_classes: Learned,
    ):
        super().__init__(found, draw, device, feedback)
        self._folders, about = of_classes
        self._words = Words(found["tokenizer"], found["text_encoder"], about["placeholder"], about["vectors"])

    def cut(self, prompts: list[str]) -> int:
        return self._words.cut(prompts)

    def texts(self, rows: pd.DataFrame) -> torch.Tensor:
        """Hidden states of the rows' prompts with their vectors, [B, tokens, width]."""
        drawn = zip(rows["class"].tolist(), rows["checkpoint"].tolist(), strict=True)
        vectors = torch.stack([read(self._folders[label], label, step) for label, step in drawn]).to(self.device)
        return self._words.encoded(self._words.tokens(rows["prompt"].tolist()), vectors)
