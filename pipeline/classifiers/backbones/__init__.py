"""Networks from pictures to features. Import-light: the rules read this file.

Each module has `build(name, width)`. The network has the attributes `feature_size` and `kaiming_linear`, which says if linear
layers after it start Kaiming-normal. The width of each name is in the config.
"""

from typing import Any

from pipeline import kinds

SHARED = {
    "resnet32x4": "resnet32",
    "resnet10": "resnet",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "resnet152": "resnet",
    "resnext50_32x4d": "resnet",
}
"""Name of a backbone -> its module. Any other backbone has the module of its own name.

So a new module needs no edit here; this file counts in the fingerprint of every classifier.
"""


def module_of(name: str) -> str:
    """Name of the module in this package that builds a backbone."""
    return SHARED.get(name, name)


def build(name: str, width: int, **more: Any):
    """Build a fresh torch.nn.Module from normalised pictures, float [N, 3, H, W], to features, float [N, feature_size].

    `more` are arguments of the backbone `clip` alone.
    """
    return kinds.load("classifiers.backbones", module_of(name)).build(name, width, **more)
