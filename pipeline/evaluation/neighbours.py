"""Measures of a pool by nearest neighbours among features, in blocks, so that no table of all distances is in memory."""

import torch

BLOCK = 1024
"""Rows whose distances to all others are in memory together."""


def neighbour_metrics(real: torch.Tensor, generated: torch.Tensor, nearest: int) -> dict[str, float]:
    """precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), from features float [N, D] and [M, D].

    A picture's ball reaches to the `nearest` neighbour, itself not counted, of its own kind. precision: share of generated
    pictures in some real one's ball. recall: share of real pictures in some generated one's. density: mean number of real
    balls that a generated picture lies in, over `nearest`; it may exceed 1. coverage: share of real balls with a generated
    picture. torch-fidelity has the first two alone; all four need the same distances. Needs more than `nearest` pictures of each. The
    tensors may be on any one device.
    """
    real, generated = real.double(), generated.double()  # distances are differences of squares, which may be large
    real_radii, generated_radii = _radii(real, nearest), _radii(generated, nearest)
    inside = density = 0.0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = torch.zeros_like(recalled)
    for rows, radii in zip(generated.split(BLOCK), generated_radii.split(BLOCK), strict=True):
        distances = _squared(rows, real)
        in_real_balls = distances <= real_radii
        inside += in_real_balls.any(1).sum().item()
        density += in_real_balls.sum().item()
        covered |= in_real_balls.any(0)
        recalled |= (distances <= radii[:, None]).any(0)
    return {
        "precision": inside / len(generated),
        "recall": recalled.double().mean().item(),
        "density": density / nearest / len(generated),
        "coverage": covered.double().mean().item(),
    }


def _radii(features: torch.Tensor, nearest: int) -> torch.Tensor:
    """Squared distance of each row to its `nearest` neighbour, [N]."""
    return torch.cat([_squared(rows, features).kthvalue(nearest + 1).values for rows in features.split(BLOCK)])


def _squared(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Squared distances, [rows, columns]."""
    return torch.addmm(rows.square().sum(1)[:, None] + columns.square().sum(1), rows, columns.T, alpha=-2)
