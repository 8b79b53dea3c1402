"""Load a CLIP model in open_clip's format strictly: without its weights, the library would fill it with random values."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from pipeline.errors import InputError

CONFIG = "open_clip_config.json"


class Clip(NamedTuple):
    """A CLIP model, ready to look at pictures and texts."""

    model: torch.nn.Module
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenize: Callable[[list[str]], torch.Tensor]


def load(folder: Path) -> Clip:
    """The model in a folder, on the CPU. Raises InputError if a file is missing or damaged, or files do not fit."""
    name = f"local-dir:{folder}"
    try:
        model = open_clip.create_model(name, require_pretrained=True)
        tokenize = open_clip.get_tokenizer(name)
    except Exception as error:  # the library raises many kinds of errors for damaged files
        why = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} is missing or damaged ({why}); get the model again") from None
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    known = len(tokenize.tokenizer) if isinstance(tokenize, HFTokenizer) else tokenize.vocab_size
    expected = model.vocab_size if hasattr(model, "vocab_size") else model.text.vocab_size
    if not expected / 2 < known <= expected:
        raise InputError(
            f"{folder} has a tokenizer of {known} tokens, but a text encoder of {expected}; its vocabulary is missing or"
            " another model's"
        )
    return Clip(model.eval().requires_grad_(False), preprocess, tokenize)
