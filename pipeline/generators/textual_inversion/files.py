"""The learned vectors on disk: for each class, the last ones for other programs, and all that were kept."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pipeline.artifacts.atomic import replacing
from pipeline.errors import InputError


def save(output: Path, label: int, placeholder: str, kept: Mapping[int, torch.Tensor]) -> list[Path]:
    """Write the vectors of a class, and return the files. kept: step -> vectors, float32 [V, W], of at least one step.

    `<class>.safetensors` has the last ones, as diffusers' `load_textual_inversion` reads them, and `<class>.steps.safetensors` all of
    them, by the number of the step.
    """
    last, steps = output / f"{label:05d}.safetensors", _steps(output, label)
    for path, tensors in (
        (last, {placeholder: kept[max(kept)]}),
        (steps, {str(step): vectors for step, vectors in kept.items()}),
    ):
        with replacing(path) as part:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    return [last, steps]


def read(folder: Path, label: int, step: int) -> torch.Tensor:
    """The vectors of a class that were kept after a step, float32 [V, W]. Raises InputError if they are missing or damaged."""
    path = _steps(folder, label)
    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor(str(step))
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} has no vectors of step {step} ({error}); say `make repair`, or train the generator again"
        ) from None


def _steps(folder: Path, label: int) -> Path:
    return folder / f"{label:05d}.steps.safetensors"
