"""Features of pictures under Inception v3, the network of the published FID and inception scores."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pipeline.artifacts import shards
from pipeline.artifacts.weights import fitting, read_weights, require_numbers
from pipeline.classifiers.input.reader import to_batch
from pipeline.evaluation.extractors import Extractor
from pipeline.jobs.inputs import Inputs

PUBLISHED = "weights-inception-2015-12-05-6726825d.pth"
"""torch-fidelity's file of these weights."""


def load(settings: Mapping[str, Any], inputs: Inputs, side: int | None, device: torch.device) -> Extractor:
    """Load torch-fidelity's Inception v3 (Obukhov et al. 2020) from the file settings["weights"].

    Features are float32 [N, 2048], logits without bias float32 [N, 1008]. Real pictures are resized to the pool's side
    first. Raises InputError if the file is missing, or is not of these weights.
    """
    weights = Path(settings["weights"])
    # torch-fidelity would run the code of a pickle, so it gets the tensors alone
    read = read_weights(weights, f"torch-fidelity's {PUBLISHED} as inception_weights")
    tensors = io.BytesIO()
    torch.save(read, tensors)
    tensors.seek(0)
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with fitting(weights):
        network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], tensors)
    require_numbers(weights, network)
    network.to(device).eval()

    @torch.inference_mode()
    def extract(table: pd.DataFrame, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = to_batch(shards.read_pictures(table, folder, side), device)
        features, logits = zip(*(network(batch) for batch in pictures.split(50)), strict=True)
        return torch.cat(features).cpu(), torch.cat(logits).cpu()

    return extract
