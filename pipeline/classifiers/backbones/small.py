"""A small convolutional network for the demo's digits."""

from torch import nn


def build(name: str, width: int) -> nn.Module:
    """Three 3 x 3 convolutions, with a max-pool before the last; features are float [N, 2 width], after a ReLU."""
    layers = nn.Sequential(
        *_convolution(3, width),
        *_convolution(width, 2 * width),
        nn.MaxPool2d(2),
        *_convolution(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    layers.feature_size, layers.kaiming_linear = 2 * width, True
    return layers


def _convolution(channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]
