"""The features of the real training pictures under a classifier, as the stage `features` writes them."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.errors import InputError


def read_features(path: Path, device: torch.device) -> dict[str, torch.Tensor]:
    """`features`, float32 [N, F], and `labels`, int64 [N]. Raises InputError if the file is missing or damaged."""
    try:
        return load_file(path, str(device))
    except (FileNotFoundError, SafetensorError) as error:
        raise InputError(f"{path} is missing or damaged ({error}); say `make repair`") from None
