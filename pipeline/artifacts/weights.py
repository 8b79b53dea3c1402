"""Files of published weights, which may come from anybody."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from pipeline.errors import InputError


def read_weights(path: Path, wanted: str) -> dict[str, torch.Tensor]:
    """Read a state dict that torch has saved, on the CPU. Only tensors are read, so no code of the file runs.

    Raises InputError if the file is missing, damaged, or holds anything else. `wanted` says which file the user must give.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; give {wanted}") from None
    except (PermissionError, MemoryError):
        raise
    except Exception:  # pickle and zip raise exceptions of their own, with advice for programmers
        raise InputError(f"{path} is not a readable weight file; give {wanted}") from None
    if not isinstance(weights, Mapping):
        raise InputError(f"{path} is not a weight file but holds a {type(weights).__name__}; give {wanted}")
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()):
        raise InputError(f"{path} is not a weight file, because it holds more than named tensors; give {wanted}")
    return dict(weights)


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Load weights that were read from `path` into a network. Raises InputError if it is another network."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(
            f"{path} holds the weights of another network: {str(error).splitlines()[-1].strip()}"
        ) from None


def require_numbers(place: Path, model: torch.nn.Module) -> None:
    """Raise InputError if a tensor of a model has values that are not finite, or if all values of all are 0."""
    named = dict(model.named_parameters())
    for name, tensor in named.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{place}: {name} has values that are not finite numbers; get the model again")
    if named and not any(tensor.any() for tensor in named.values()):
        raise InputError(f"{place}: all its weights are 0; get the model again")
