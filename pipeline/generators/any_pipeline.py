"""Any pipeline of diffusers, with a random generator for each picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pipeline.errors import InputError


def opened(auto: type, folder: Path, found: Mapping[str, Any], device: torch.device, what: str) -> Any:
    """The pipeline that diffusers' class `auto` makes of these components. Raises InputError if it cannot draw from `what`."""
    try:
        pipeline = auto.from_pretrained(folder, local_files_only=True, **found)
    except (ValueError, TypeError) as error:
        raise InputError(f"{folder} cannot draw from {what}: {' '.join(str(error).split())}") from None
    return quiet(pipeline, device)


def quiet(pipeline: Any, device: torch.device) -> Any:
    """The pipeline on the device, without bars."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


class AnyPipeline:
    """A pipeline that draws as `draw` says: steps, guidance_scale, side, and negative_prompt if it reads texts."""

    def __init__(self, pipeline: Any, draw: Mapping[str, Any]):
        self.pipeline, self._negative = pipeline, draw.get("negative_prompt")
        self._how = {
            "num_inference_steps": draw["steps"],
            "guidance_scale": draw["guidance_scale"],
            "output_type": "pt",
        }
        self.size = {"height": draw["side"], "width": draw["side"]}

    def cut(self, prompts: list[str]) -> int:
        """Unknown: each pipeline has a limit of its own, and warns by itself."""
        return 0

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator], **more: Any) -> torch.Tensor:
        """Pictures in [0, 1], [B, 3, H, W], from the rows' prompts, and from `more` that the pipeline reads."""
        if "prompt" in rows:
            more["prompt"] = rows["prompt"].tolist()
        if self._negative:
            more["negative_prompt"] = [self._negative] * len(rows)
        return self.pipeline(generator=generators, **self.size, **self._how, **more).images
