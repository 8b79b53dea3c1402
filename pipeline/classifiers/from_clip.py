"""A classifier that starts from a CLIP: its vision transformer, and a head from the names of the classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.classifiers.backbones.clip import default_rank
from pipeline.classifiers.network import Network
from pipeline.data.readable import readable
from pipeline.errors import InputError
from pipeline.foundations import clip
from pipeline.foundations.fit import vision_tower
from pipeline.foundations.table import folder_of

AT_ONCE = 256
"""Texts that are encoded together."""


def build(settings: Mapping[str, Any], class_names: Sequence[str], size: Sequence[int], foundation: Path) -> Network:
    """A fresh classifier of pictures of `size`, height and width in pixels; the backbone is a CLIP, given by its table.

    With settings["head_text"], a template with {class}, the head is `cosine`, and starts with the CLIP's embeddings of these
    texts, brought back through the projection of the pictures' embeddings (Shi et al. 2024). Raises InputError if the CLIP
    is none of a vision transformer, or if it reads other pictures.
    """
    folder = folder_of(foundation)
    tower = vision_tower(folder, settings["mean"], settings["std"], tuple(size))
    loaded = clip.load(folder)
    rank = settings["tuning_rank"] or default_rank(len(class_names), tower["vision_cfg"]["layers"])
    network = Network(
        "clip",
        tower["vision_cfg"]["width"],
        len(class_names),
        settings["mean"],
        settings["std"],
        settings["side"],
        **{key: settings[key] for key in ("head", "head_scale") if key in settings},
        clip={"tower": tower, "tuning": settings["tuning"], "rank": rank},
        weights=loaded.model.visual.state_dict(),
    )
    if settings.get("head_text"):
        texts = [settings["head_text"].format(**{"class": readable(name)}) for name in class_names]
        directions = _back_projected(loaded, texts)
        _, alike = directions.unique(dim=0, return_inverse=True)
        first: dict[int, str] = {}
        for text, number in zip(texts, alike.tolist(), strict=True):
            if first.setdefault(number, text) != text:
                raise InputError(
                    f"the CLIP reads '{text}' as it reads the text of another class, because it is too long; shorten"
                    " head_text, or the classes' names"
                )
        network.head.weight = nn.Parameter(directions)
    return network


@torch.no_grad()
def _back_projected(loaded: clip.Clip, texts: Sequence[str]) -> torch.Tensor:
    """Directions of the features whose projections lie along the texts' embeddings, float32 [texts, features]."""
    parts = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]
    embedded = torch.cat([loaded.model.encode_text(loaded.tokenize(part), normalize=True) for part in parts])
    return nn.functional.normalize(embedded @ loaded.model.visual.proj.T)
