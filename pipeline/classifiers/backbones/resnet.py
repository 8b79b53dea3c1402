"""torchvision's residual networks as backbones: the standard stem, 7 x 7 with stride 2 and a max-pool, and no last layer."""

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

LAYERS = {
    "resnet10": {"block": BasicBlock, "layers": [1, 1, 1, 1]},  # as in the code classifier-balancing (Kang et al. 2020)
    "resnet18": {"block": BasicBlock, "layers": [2, 2, 2, 2]},
    "resnet50": {"block": Bottleneck, "layers": [3, 4, 6, 3]},
    "resnet152": {"block": Bottleneck, "layers": [3, 8, 36, 3]},
    "resnext50_32x4d": {"block": Bottleneck, "layers": [3, 4, 6, 3], "groups": 32},
}
"""Name -> blocks of each stage (He et al. 2016; ResNeXt, Xie et al. 2017). The stride of a bottleneck is in its 3 x 3 convolution."""


def build(name: str, width: int) -> nn.Module:
    """Build a network with features float [N, 512] for basic blocks, [N, 2048] for bottlenecks.

    `width` is 64, or 4 channels per group for ResNeXt.
    """
    network = ResNet(**LAYERS[name], width_per_group=width)
    network.feature_size, network.kaiming_linear = network.fc.in_features, False
    network.fc = nn.Identity()
    return network
