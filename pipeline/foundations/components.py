"""Load a text-to-image model in diffusers' format strictly: nothing that is missing is filled with random values.

The libraries load a folder without its vocabulary with a tokenizer of two tokens, and a model without some of its tensors with random
ones, both without an error.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from pipeline.errors import InputError
from pipeline.foundations import SKIPPED

INDEX = "model_index.json"
STABLE_DIFFUSION = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
"""Classes of models with one text encoder, a U-Net and a VAE; a folder for image to image has the same components."""


def pipeline_class(folder: Path) -> str:
    """Name of diffusers' class of the model in a folder. Raises InputError if the folder is damaged."""
    return _index(folder)["_class_name"]


def components(
    folder: Path, dtype: torch.dtype = torch.float32, variant: str | None = None, allow_pickle: bool = False
) -> dict[str, Any]:
    """Name -> component of the model in a folder, without SKIPPED, on the CPU, with weights of `dtype`.

    Files of the variant are taken where there are some. Pickles are only read if they are allowed; even then, no code in them
    runs.

    Raises InputError that names the component if one is missing, damaged or incomplete, or does not fit the others.
    """
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    index = _index(folder)
    named = {name: value for name, value in index.items() if isinstance(value, list) and name not in SKIPPED}
    found = {
        name: component(folder / name, *entry, dtype, variant, allow_pickle) if all(entry) else None
        for name, entry in sorted(named.items())
    }
    for name, one in found.items():
        if isinstance(one, transformers.PreTrainedTokenizerBase):
            encoder = found.get(name.replace("tokenizer", "text_encoder"))
            require_vocabulary(folder / name, one, encoder)
    if index["_class_name"] in STABLE_DIFFUSION:
        _require_fit(folder, found)
    return found


def component(
    folder: Path,
    library: str,
    class_name: str,
    dtype: torch.dtype | str = torch.float32,
    variant: str | None = None,
    allow_pickle: bool = False,
) -> Any:
    """One component, or a whole model of transformers, from its folder; `components` has the arguments, and raises the same errors.

    library: `diffusers` or `transformers`. With the dtype "auto", weights have the one that they were saved with.
    """
    kind = getattr({"diffusers": diffusers, "transformers": transformers}.get(library), class_name, None)
    if kind is None:
        raise InputError(f"{folder} is a {class_name} of {library}, which this version of that library does not have")
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; get the model again")
    is_diffusers = issubclass(kind, diffusers.ModelMixin)
    with _reading(folder):
        if not (is_diffusers or issubclass(kind, transformers.PreTrainedModel)):
            own_code = {"trust_remote_code": False} if class_name.startswith("Auto") else {}  # else it asks a person
            return kind.from_pretrained(folder, local_files_only=True, **own_code)
        how = {"torch_dtype": dtype, "low_cpu_mem_usage": False} if is_diffusers else {"dtype": dtype}
        how |= {"use_safetensors": None if allow_pickle else True, "local_files_only": True}
        if variant and any(folder.glob(f"*.{variant}[.-]*")):
            how["variant"] = variant
        loaded, report = kind.from_pretrained(folder, output_loading_info=True, **how)
    for key in ("missing_keys", "mismatched_keys"):
        if wrong := sorted(map(str, report[key])):
            more = f" and {len(wrong) - 1} more tensors" if wrong[1:] else ""
            raise InputError(f"{folder} lacks {wrong[0]}{more}, or has other shapes; get the model again")
    return loaded.eval().requires_grad_(False)


def require_vocabulary(folder: Path, tokenizer: Any, encoder: Any) -> None:
    """Raise InputError if most of the text encoder's tokens are unknown to the tokenizer, or the other way round."""
    if encoder is None:
        return
    known, expected = len(tokenizer), encoder.get_input_embeddings().num_embeddings
    if not expected / 2 < known <= expected:
        raise InputError(
            f"{folder} knows {known} tokens, but the text encoder {expected}; its vocabulary is missing or another model's"
        )


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is missing or damaged; get the model again") from None
    return index


def _require_fit(folder: Path, found: dict[str, Any]) -> None:
    """Raise InputError if the components of a Stable Diffusion model do not fit."""
    for name in ("text_encoder", "tokenizer", "unet", "vae", "scheduler"):
        if found.get(name) is None:
            raise InputError(f"{folder / name} is missing; get the model again")
    width, expected = found["text_encoder"].config.hidden_size, found["unet"].config.cross_attention_dim
    if width != expected:
        raise InputError(f"{folder}: the text encoder's width is {width}, but the U-Net reads {expected}")
    latents, expected = found["vae"].config.latent_channels, found["unet"].config.in_channels
    if latents != expected:
        raise InputError(f"{folder}: the VAE has {latents} channels, but the U-Net reads {expected}")
    if not hasattr(found["scheduler"], "alphas_cumprod"):
        raise InputError(
            f"{folder / 'scheduler'}: a {type(found['scheduler']).__name__} does not fit a Stable Diffusion model"
        )


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Replace the libraries' many errors about a damaged folder by an InputError."""
    try:
        yield
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        NotImplementedError,
        RuntimeError,
        ImportError,  # a tokenizer in a format that needs another library
        SafetensorError,
    ) as error:
        why = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} is missing or damaged ({why}); get the model again") from None
