"""ResNeXt-50 with 32 groups of 4 channels (Xie et al. 2017)."""

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from pipeline.classifiers.backbones.imagenet import backbone


def build(width: int) -> nn.Module:
    """Features are float [N, 2048]; `width` is the channels of a group, 4."""
    return backbone(ResNet(Bottleneck, [3, 4, 6, 3], groups=32, width_per_group=width))
