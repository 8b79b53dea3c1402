"""GLIDE (Nichol et al. 2022), converted from its authors' checkpoints into a folder in diffusers' format."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
from diffusers import DDPMScheduler

from pipeline.artifacts.digests import digest
from pipeline.artifacts.weights import read_weights
from pipeline.errors import InputError
from pipeline.foundations import GLIDE
from pipeline.foundations.fit import INDEX
from pipeline.foundations.glide_conversion import convert
from pipeline.foundations.gpt2_tokenizer import WANTED, read_tokenizer
from pipeline.jobs.inputs import Inputs

_CHECKPOINTS = {
    "base": ("", 3, 64, {"beta_schedule": "squaredcos_cap_v2"}),
    "upsampler": ("upsampler_", 6, 256, {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
}
"""Checkpoint -> prefix of its components, channels that its U-Net reads, side of its pictures, noise schedule of 1000 steps."""


def make(settings: Mapping[str, Any], inputs: Inputs, folder: Path, checkpoint: Any) -> tuple[Path, dict[str, Any]]:
    """Convert the checkpoints `base` and, unless it is None, `upsampler` into `folder`, with the tokenizer of `vocabulary`.

    Returns the folder and, under `originals`, the SHA-256 of the files. Only tensors are read, so no code of a checkpoint runs.
    Raises InputError if a file is missing, damaged, or not what its key says.
    """
    shutil.rmtree(folder, ignore_errors=True)  # what an attempt left that was killed
    index: dict[str, Any] = {"_class_name": GLIDE, "_diffusers_version": diffusers.__version__}
    tokenizer = read_tokenizer(Path(settings["vocabulary"]))
    given = [name for name in _CHECKPOINTS if settings[name] is not None]
    for name in given:
        prefix, in_channels, side, betas = _CHECKPOINTS[name]
        path, wanted = Path(settings[name]), f"the {name} of the original release"
        weights = read_weights(path, wanted)
        try:
            unet, encoder = convert(weights, in_channels, side)
        except InputError as error:
            raise InputError(f"{path} is not GLIDE's {name}: {error}; give {wanted}") from None
        tokenizer.model_max_length = encoder.config.context
        if len(tokenizer) != (known := encoder.config.vocabulary):
            raise InputError(
                f"{settings['vocabulary']} has {len(tokenizer)} tokens, but {path} knows {known}; give {WANTED}"
            )
        scheduler = DDPMScheduler(**betas, variance_type="learned_range", timestep_spacing="linspace")
        components = {"unet": unet, "text_encoder": encoder, "tokenizer": tokenizer, "scheduler": scheduler}
        for what, component in components.items():
            component.save_pretrained(folder / f"{prefix}{what}")
            library = {"text_encoder": "glide", "tokenizer": "transformers"}.get(what, "diffusers")
            index[f"{prefix}{what}"] = (library, type(component).__name__)
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    return folder, {"originals": {settings[name]: digest(Path(settings[name])) for name in (*given, "vocabulary")}}
