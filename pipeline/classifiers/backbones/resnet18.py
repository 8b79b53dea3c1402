"""ResNet-18 (He et al. 2016)."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from pipeline.classifiers.backbones.imagenet import backbone


def build(width: int) -> nn.Module:
    """Features are float [N, 512]; `width` is 64."""
    return backbone(ResNet(BasicBlock, [2, 2, 2, 2], width_per_group=width))
