"""ResNet-152 (He et al. 2016)."""

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from pipeline.classifiers.backbones.imagenet import backbone


def build(width: int) -> nn.Module:
    """Features are float [N, 2048]; `width` is 64."""
    return backbone(ResNet(Bottleneck, [3, 8, 36, 3], width_per_group=width))
