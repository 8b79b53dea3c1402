"""torchvision's residual networks as backbones: the standard stem, 7 x 7 with stride 2 and a max-pool, and no last layer."""

from torch import nn
from torchvision.models.resnet import ResNet


def backbone(network: ResNet) -> nn.Module:
    """The network without its last layer; features are float [N, 512] for basic blocks, [N, 2048] for bottlenecks."""
    network.feature_size, network.kaiming_linear = network.fc.in_features, False
    network.fc = nn.Identity()
    return network
