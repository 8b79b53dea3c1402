"""ResNet-10, one basic block a stage, as classifier-balancing (Kang et al. 2020) has it."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from pipeline.classifiers.backbones.imagenet import backbone


def build(width: int) -> nn.Module:
    """Features are float [N, 512]; `width` is 64."""
    return backbone(ResNet(BasicBlock, [1, 1, 1, 1], width_per_group=width))
