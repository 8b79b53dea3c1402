"""Draw pictures with a model that was adapted to each class, or to the data set."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.generators.adapting import learned
from pipeline.generators.lora import adapter
from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.text_to_image.stable_diffusion import StableDiffusion


class Sampler(PretrainedSampler):
    """Stable Diffusion that draws from the rows' prompts, with the changes that were learned for their class or for all.

    inputs: also `generator`, the table of what was learned. Raises InputError if it was learned with another model. Pictures of several
    classes are drawn one class after the other, because a pass of the network has one class's changes.
    """

    def model(self, found: dict[str, Any]) -> Model:
        folders, about = learned(self.inputs)
        self._files = {
            label: folder / (f"{label:05d}.safetensors" if about["per"] == "class" else "all.safetensors")
            for label, folder in folders.items()
        }
        return _Adapted(found, self.how, self.device, self.feedback)

    def _drawn(self, rows: pd.DataFrame, model: Any, checker: Any, dtype: torch.dtype) -> Iterator[np.ndarray]:
        start = 0
        for path, run in groupby(self._files[label] for label in rows["class"].tolist()):
            end = start + len(list(run))
            model.use(path)
            yield from super()._drawn(rows.iloc[start:end], model, checker, dtype)
            start = end


class _Adapted(StableDiffusion):
    _used: Path | None = None

    def use(self, path: Path) -> None:
        """Draw with the changes of a file from now on."""
        if path != self._used:
            if self._used is not None:
                adapter.remove(self._unet)
            adapter.load(self._unet, path)
            self._unet.requires_grad_(False)
            self._used = path
