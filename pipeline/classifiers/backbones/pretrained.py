"""Load weights that torchvision publishes from a file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from pipeline.errors import InputError


def load_pretrained(network: nn.Module, path: Path) -> None:
    """Load a state dict of torchvision (.pth) without its last layer. Raises InputError if it does not fit."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; download the weights of this network from torchvision's pages") from None
    except Exception:  # pickle and zip raise exceptions of their own, with advice for programmers
        raise InputError(f"{path} is not a readable weight file; give one of torchvision's, .pth") from None
    if not isinstance(weights, Mapping):
        raise InputError(
            f"{path} is not a weight file but holds a {type(weights).__name__}; give one of torchvision's, .pth"
        )
    weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} holds the weights of another network: {str(error).splitlines()[-1].strip()}"
        ) from None
