"""Load a CLIP model in open_clip's format strictly: without its weights, the library would fill it with random values."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors import safe_open

from pipeline.artifacts.weights import require_numbers
from pipeline.errors import InputError
from pipeline.foundations import CLIP_CONFIG, CLIP_WEIGHTS
from pipeline.foundations.components import reading


class Clip(NamedTuple):
    """A CLIP model, ready to look at pictures and texts."""

    model: torch.nn.Module
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenize: Callable[[list[str]], torch.Tensor]


def load(folder: Path) -> Clip:
    """The model in a folder, on the CPU. Raises InputError if a file is missing or damaged, or files do not fit."""
    name = f"local-dir:{folder}"
    with reading(folder):
        if not (folder / CLIP_WEIGHTS).is_file():  # the library would take a pickle
            raise FileNotFoundError(f"no {CLIP_WEIGHTS}")
        model = open_clip.create_model(name, require_pretrained=True)
        tokenize = open_clip.get_tokenizer(name)
        preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
        preprocess(Image.new("RGB", (8, 8)))  # a wrong mean, for example, would be an error of the first picture
        with safe_open(folder / CLIP_WEIGHTS, "pt") as file:
            saved = {name: file.get_slice(name).get_shape() for name in file.keys()}
    for name, tensor in model.state_dict().items():
        if saved.get(name, list(tensor.shape)) != list(tensor.shape):  # the library would stretch a table of positions
            raise InputError(
                f"{folder}: {name} has the shape {saved[name]}, but {CLIP_CONFIG} says {list(tensor.shape)}; get the model again"
            )
    require_numbers(folder, model)
    known = len(tokenize.tokenizer) if isinstance(tokenize, HFTokenizer) else tokenize.vocab_size
    expected = model.vocab_size if hasattr(model, "vocab_size") else model.text.vocab_size
    if not expected / 2 < known <= expected:
        raise InputError(
            f"{folder} has a tokenizer of {known} tokens, but a text encoder of {expected}; its vocabulary is missing or"
            " another model's"
        )
    return Clip(model.eval().requires_grad_(False), preprocess, tokenize)
