"""Load a model that draws pictures, in diffusers' format strictly: nothing that is missing is filled with random values.

The libraries load a folder without its vocabulary with a tokenizer of two tokens, and a model without some of its tensors with random
ones, both without an error.
"""

import errno
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

from pipeline.artifacts.weights import require_numbers
from pipeline.errors import InputError
from pipeline.foundations import SAFETY_CHECKER, glide_text_encoder
from pipeline.foundations.fit import IMAGE_VARIATION, INDEX, UNCLIP, model_index, require_fit, require_vocabulary

_LIBRARIES = {
    "diffusers": diffusers,
    "transformers": transformers,
    "glide": glide_text_encoder,
    # a module of diffusers, which does not export all of its classes
    "stable_diffusion": SimpleNamespace(
        StableDiffusionSafetyChecker=StableDiffusionSafetyChecker,
        StableUnCLIPImageNormalizer=StableUnCLIPImageNormalizer,
    ),
}
_RENAMED = {"CLIPFeatureExtractor": "CLIPImageProcessor"}
"""Classes in older models -> their names in transformers 5."""


def components(
    folder: Path,
    dtype: torch.dtype = torch.float32,
    variant: str | None = None,
    allow_pickle: bool = False,
    safety_checker: bool = False,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """Name -> component of the model in a folder that drawing uses, on the CPU, with weights of `dtype`.

    Files of the variant are taken where there are some. Pickles are only read if they are allowed; even then, no code in them
    runs. The safety checker is loaded only if it is asked for, and components named in `without` are not.

    Raises InputError that names the component if one is missing, damaged or incomplete, or does not fit the others.
    """
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    index = model_index(folder)
    unused = _unused(folder, index, safety_checker) | set(without)
    named = {name: value for name, value in index.items() if _names_a_component(name, value) and name not in unused}
    for name, entry in named.items():
        if len(entry) != 2 or not all(one is None or (isinstance(one, str) and one.isidentifier()) for one in entry):
            raise InputError(f"{folder / INDEX}: {name} must have a library and a class; get the model again")
    found = {
        name: component(folder / name, *entry, dtype, variant, allow_pickle) if all(entry) else None
        for name, entry in sorted(named.items())
    }
    for name, one in found.items():
        if isinstance(one, transformers.PreTrainedTokenizerBase):
            encoder = found.get(name.replace("tokenizer", "text_encoder"))
            require_vocabulary(folder / name, one, encoder)
    if safety_checker and not found.get("feature_extractor"):
        raise InputError(f"{folder / 'feature_extractor'} is missing; get the model again")
    require_fit(folder, index["_class_name"], found, without)
    return found


def _names_a_component(name: str, value: Any) -> bool:
    """Whether an entry of the index has a library and a class, or nothing; others are settings of the pipeline."""
    is_list = isinstance(value, list) and not name.startswith("_")
    return is_list and (not value or any(one is None or isinstance(one, str) for one in value))


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
    class_name = _RENAMED.get(class_name, class_name)
    kind = getattr(_LIBRARIES.get(library), class_name, None)
    if not isinstance(kind, type):
        raise InputError(f"{folder} is a {class_name} of {library}, which this version of that library does not have")
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; get the model again")
    is_diffusers = issubclass(kind, diffusers.ModelMixin)
    with reading(folder):
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
    forms = {re.sub(r"\d+", "0", name) for name in loaded.state_dict()}
    if unread := sorted(name for name in map(str, report["unexpected_keys"]) if re.sub(r"\d+", "0", name) in forms):
        raise InputError(f"{folder} has {unread[0]}, but its config has no such layer; get the model again")
    require_numbers(folder, loaded)
    return loaded.eval().requires_grad_(False)


def _unused(folder: Path, index: dict[str, Any], safety_checker: bool) -> set[str]:
    """Components that drawing does not use. Raises InputError if a safety checker is asked for and there is none."""
    unused = {SAFETY_CHECKER, "feature_extractor", "image_encoder"}
    if index["_class_name"] in (IMAGE_VARIATION, UNCLIP):
        unused -= {"feature_extractor", "image_encoder"}
    if safety_checker:
        if (index.get(SAFETY_CHECKER) or [None])[-1] != StableDiffusionSafetyChecker.__name__:
            raise InputError(f"{folder} has no safety checker; remove `safety_checker: true`, or take another model")
        unused -= {SAFETY_CHECKER, "feature_extractor"}
    return unused


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Replace the libraries' many errors about a damaged folder by an InputError; one about memory or the disk stays."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if "can't allocate memory" in str(error) or "failed to map segment" in str(error):
            raise MemoryError(str(error)) from None
        if isinstance(error, OSError) and error.errno in (errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EACCES):
            raise
        why = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} is missing or damaged ({why}); get the model again") from None
