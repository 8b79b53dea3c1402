"""Load weights that torchvision publishes from a file."""

from pathlib import Path

from torch import nn

from pipeline.artifacts.weights import fitting, read_weights


def load_pretrained(network: nn.Module, path: Path) -> None:
    """Load a state dict of torchvision (.pth) without its last layer. Raises InputError if it does not fit."""
    weights = read_weights(path, "torchvision's weights of this network, .pth, as pretrained")
    with fitting(path):
        network.load_state_dict({name: value for name, value in weights.items() if not name.startswith("fc.")})
