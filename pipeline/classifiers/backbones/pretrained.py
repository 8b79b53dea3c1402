"""Weights that torchvision publishes, from a file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from pipeline.errors import InputError


def load_pretrained(network: nn.Module, path: Path) -> None:
    """Take over a state dict of torchvision's, .pth, but for the last layer. Raises InputError where it does not fit."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: download the weights of this network from torchvision's pages") from None
    except Exception:  # pickle and zip have exceptions of their own, whose advice is for programmers
        raise InputError(f"{path} cannot be read as a file of weights; it must be one of torchvision's, .pth") from None
    if not isinstance(weights, Mapping):
        raise InputError(f"{path} cannot be read as a file of weights: it holds a {type(weights).__name__}")
    weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} holds the weights of another network: {str(error).splitlines()[-1].strip()}"
        ) from None
