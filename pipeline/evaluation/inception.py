"""Features of pictures under Inception v3, the network of the published FID and inception scores."""

from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.errors import InputError

Extractor = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def load(weights: Path, device: torch.device) -> Extractor:
    """Load torch-fidelity's Inception v3 (Obukhov et al. 2020) as a function of pictures, uint8 [N, 3, H, W] of any side.

    The function returns features, float32 [N, 2048], and logits without bias, float32 [N, 1008], on the CPU. Raises
    InputError if the file `weights` is missing.
    """
    if not weights.is_file():
        raise InputError(f"inception_weights: {weights} is missing; give torch-fidelity's pt_inception-2015-12-05 file")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(weights)).to(device).eval()

    @torch.inference_mode()
    def extract(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, logits = zip(*(network(batch) for batch in pictures.split(50)), strict=True)
        return torch.cat(features).cpu(), torch.cat(logits).cpu()

    return extract
