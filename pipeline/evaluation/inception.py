"""Features of pictures under Inception v3, the network of the published FID and inception scores."""

import io
from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.artifacts.weights import fitting, read_weights

Extractor = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
PUBLISHED = "weights-inception-2015-12-05-6726825d.pth"
"""torch-fidelity's file of these weights."""


def load(weights: Path, device: torch.device) -> Extractor:
    """Load torch-fidelity's Inception v3 (Obukhov et al. 2020) as a function of pictures, uint8 [N, 3, H, W] of any side.

    The function returns features, float32 [N, 2048], and logits without bias, float32 [N, 1008], on the CPU. Raises
    InputError if the file `weights` is missing, or is not of these weights.
    """
    # torch-fidelity would run the code of a pickle, so it gets the tensors alone
    read = read_weights(weights, f"torch-fidelity's {PUBLISHED} as inception_weights")
    tensors = io.BytesIO()
    torch.save(read, tensors)
    tensors.seek(0)
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with fitting(weights):
        network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], tensors)
    network.to(device).eval()

    @torch.inference_mode()
    def extract(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, logits = zip(*(network(batch) for batch in pictures.split(50)), strict=True)
        return torch.cat(features).cpu(), torch.cat(logits).cpu()

    return extract
