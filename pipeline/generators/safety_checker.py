"""The safety checker that comes with a model."""

import logging
from typing import Any

import numpy as np
import torch
from PIL import Image


class SafetyChecker:
    """Takes the safety checker out of a model's components."""

    def __init__(self, found: dict[str, Any], device: torch.device):
        # the library would say that it makes pictures black
        logging.getLogger("diffusers.pipelines.stable_diffusion.safety_checker").setLevel(logging.ERROR)
        self._checker, self._prepared = found.pop("safety_checker").to(device), found["feature_extractor"]

    def flags(self, pictures: np.ndarray) -> np.ndarray:
        """Whether each picture is flagged, bool [B]. Pictures: float32 [B, H, W, 3] in 0..255; NaN counts as black."""
        seen = [Image.fromarray(picture) for picture in np.nan_to_num(pictures).round().astype(np.uint8)]
        pixels = self._prepared(seen, return_tensors="pt").pixel_values.to(self._checker.device, self._checker.dtype)
        unused = [np.zeros(1)]  # it would make these black
        # one by one, so that the answer does not depend on the others
        return np.array([self._checker(clip_input=one, images=unused)[1][0] for one in pixels.split(1)])
