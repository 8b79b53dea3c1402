"""GLIDE's text encoder (Nichol et al. 2022, Sec. 2.3), in a form that diffusers saves and loads."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

HEAD = 64
"""Channels of an attention head, in the text encoders and the U-Nets."""


class GlideTextEncoder(ModelMixin, ConfigMixin):
    """A transformer in which every token attends to every position.

    vocabulary: tokens known. context: tokens read. width: channels, a multiple of 64. layers: blocks.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, vocabulary: int, context: int, width: int, layers: int):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.zeros(context, width))
        self.padding_embedding = nn.Parameter(torch.zeros(context, width))
        block = nn.TransformerEncoderLayer(
            width, width // HEAD, 4 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(block, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states [B, context, width] of tokens, int64 [B, context].

        Where `mask`, bool [B, context], is false, the text has ended: an embedding of that position takes the token's place.
        """
        found = self.token_embedding(ids) + self.positional_embedding
        return self.transformer(torch.where(mask[..., None], found, self.padding_embedding))

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of tokens, as models of transformers give it."""
        return self.token_embedding
