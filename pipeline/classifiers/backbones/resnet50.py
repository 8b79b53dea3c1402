"""ResNet-50 (He et al. 2016, with the stride in the 3 x 3 convolution)."""

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from pipeline.classifiers.backbones.imagenet import backbone


def build(width: int) -> nn.Module:
    """Features are float [N, 2048]; `width` is 64."""
    return backbone(ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=width))
