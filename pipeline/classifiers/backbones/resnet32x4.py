"""ResNet-32 four times as wide as LDAM-DRW's: the network of GLMC and SAU."""

from torch import nn

from pipeline.classifiers.backbones import resnet32


def build(width: int) -> nn.Module:
    """The ResNet-32 of width 64: 7.4 M parameters with a head of 100 classes; features are float [N, 256]."""
    return resnet32.build(width)
