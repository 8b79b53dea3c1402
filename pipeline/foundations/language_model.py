"""Load a language model in transformers' format strictly, also one that looks at pictures, as BLIP-2."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from pipeline.errors import InputError
from pipeline.foundations.components import component, require_vocabulary

CONFIG = "config.json"
_WRITING = "generation_config.json"


class LanguageModel(NamedTuple):
    """A model that writes, with its tokenizer, and the processor of its pictures and texts if it looks at pictures."""

    model: transformers.PreTrainedModel
    tokenizer: Any
    processor: Any | None


def load(
    folder: Path, dtype: torch.dtype | str = torch.float32, variant: str | None = None, allow_pickle: bool = False
) -> LanguageModel:
    """The model in a folder with config.json, weights and a tokenizer, on the CPU, with weights of `dtype` ("auto": as saved).

    Raises InputError if a file or a tensor is missing or damaged, or if the model does not write texts.
    """
    transformers.utils.logging.disable_progress_bar()
    class_name = _class_name(folder)
    if (folder / _WRITING).exists():  # it has the tokens that end a text, and the library overlooks a damaged one
        _json(folder / _WRITING)
    kind = getattr(transformers, class_name, None)
    if kind is not None and not (hasattr(kind, "can_generate") and kind.can_generate()):
        raise InputError(f"{folder} has a {class_name}, which writes no texts; name a language model's folder")
    model = component(folder, "transformers", class_name, dtype, variant, allow_pickle)
    looks = model.main_input_name == "pixel_values"
    processor = component(folder, "transformers", "AutoProcessor" if looks else "AutoTokenizer")
    tokenizer = getattr(processor, "tokenizer", None) if looks else processor
    if tokenizer is None:
        raise InputError(f"{folder} lacks its processor or tokenizer; get the model again")
    require_vocabulary(folder, tokenizer, model)
    return LanguageModel(model, tokenizer, processor if looks else None)


def _class_name(folder: Path) -> str:
    try:
        (name, *_) = _json(folder / CONFIG)["architectures"]
    except (KeyError, TypeError, ValueError):
        name = None
    if not isinstance(name, str):
        raise InputError(f"{folder / CONFIG} names no architecture; get the model again")
    return name


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{path} is missing or damaged; get the model again") from None
