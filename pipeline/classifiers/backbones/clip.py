"""The vision transformer of a CLIP as a backbone, whose own weights stay: only small changes of them are trained, or none."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from open_clip import CLIP
from torch import nn
from torch.nn.utils import parametrize

_NO_TEXTS = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}
"""The least text encoder, because open_clip builds none alone; it is thrown away."""


def build(
    name: str,
    width: int,
    tower: Mapping[str, Any],
    tuning: str,
    rank: int,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> nn.Module:
    """Build the transformer that `tower` describes, as in open_clip's config; features are float [N, width], before its projection.

    weights: those of the CLIP's `visual`; by default they are random, to be loaded later. tuning: `head` trains nothing
    here, `adaptformer` and `lora` train changes of `rank` in every block, as in LIFT (Shi et al. 2024, public code), which
    do nothing at first.
    """
    network = CLIP(**tower, text_cfg=_NO_TEXTS).visual
    if weights is not None:
        network.load_state_dict(weights)
    network.proj = None
    network.requires_grad_(False)
    for block in network.transformer.resblocks:
        if tuning == "adaptformer":
            block.mlp = AdaptFormer(block.ln_2, block.mlp, width, rank)
            block.ln_2 = nn.Identity()
        elif tuning == "lora":
            parametrize.register_parametrization(block.attn, "in_proj_weight", LowRank(width, rank))
    network.feature_size, network.kaiming_linear = width, False
    return network


def default_rank(classes: int, layers: int) -> int:
    """LIFT's rank: about as many new weights as a head of so many classes has, rounded down to a power of 2."""
    return 2 ** max(0, math.floor(math.log2(classes / (2 * layers))))


class AdaptFormer(nn.Module):
    """A block's MLP with a narrow one beside it (Chen et al. 2022), whose norm and scale are trained too, as in LIFT."""

    def __init__(self, norm: nn.Module, mlp: nn.Module, width: int, rank: int):
        super().__init__()
        self.norm, self.mlp = norm, mlp
        self.narrow = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, rank), nn.ReLU(), nn.Linear(rank, width))
        self.scale = nn.Parameter(torch.ones(1))
        _, down, _, up = self.narrow
        nn.init.kaiming_normal_(down.weight, a=math.sqrt(5))
        for zero in (down.bias, up.weight, up.bias):
            nn.init.zeros_(zero)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.norm(tokens)) + self.scale * self.narrow(tokens)


class LowRank(nn.Module):
    """W + B A / rank for the queries and the values of an attention (Hu et al. 2022), as in LIFT."""

    def __init__(self, width: int, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.empty(2, rank, width))
        self.up = nn.Parameter(torch.zeros(2, width, rank))
        for part in self.down:
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        queries, keys, values = weight.chunk(3)  # of queries, keys and values, each [width, width]
        changes = self.up @ self.down / self.down.shape[1]
        return torch.cat([queries + changes[0], keys, values + changes[1]])
