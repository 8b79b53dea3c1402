"""ResNet-32 for 32 x 32 pictures (He et al. 2016, Sec. 4.2): three stages of five blocks, shortcuts without weights."""

import torch
from torch import nn
from torch.nn import functional


def build(name: str, width: int) -> nn.Module:
    """Build a network with stages of width, 2 width and 4 width channels; features are float [N, 4 width].

    Weights start Kaiming-normal.
    `resnet32` has width 16: the network of LDAM-DRW and DiffuLT's baselines, 0.47 M weights with a head of 100 classes.
    `resnet32x4` has width 64: the network of GLMC and SAU, 7.4 M weights.
    """
    return ResNet32(width)


class ResNet32(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.feature_size, self.kaiming_linear = 4 * width, True
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        blocks, channels = [], width
        for stage in range(3):
            for block in range(5):
                stride = 2 if stage and block == 0 else 1
                blocks.append(Block(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.stem(pictures)).mean(dim=(2, 3))


class Block(nn.Module):
    """Two 3 x 3 convolutions. If the shape changes, the shortcut skips pixels and adds channels of zeros (option A)."""

    def __init__(self, channels: int, out_channels: int, stride: int):
        super().__init__()
        self.stride, self.added = stride, out_channels - channels
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        if self.added:
            half = self.added // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.added - half))
        return functional.relu(out + x)
