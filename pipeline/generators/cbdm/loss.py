"""The loss of class-balancing diffusion models."""

from collections.abc import Callable
from typing import NamedTuple

import torch

Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Loss(NamedTuple):
    """Scalar losses; training minimises `total`."""

    total: torch.Tensor
    denoising: torch.Tensor
    balancing: torch.Tensor


def cbdm_loss(
    predict: Predict,
    noisy: torch.Tensor,
    times: torch.Tensor,
    labels: torch.Tensor,
    other_labels: torch.Tensor,
    noise: torch.Tensor,
    weights: torch.Tensor | None,
    gamma: float,
) -> Loss:
    """L_CBDM of DiffuLT, Eq. 3 (Qin et al. 2023), with one y' for each sample.

    With h = eps(x_t, t, y) and h' = eps(x_t, t, y'), the mean over batch, channels and pixels of

        (h - noise)^2 + w [ (h - sg h')^2 + gamma (sg h - h')^2 ]

    predict: (noisy, times, labels) -> noise. noisy, noise: float [B, C, H, W]. times, labels, other_labels (y', drawn from
    the data's label distribution): int64 [B]. weights: w = tau t / T for each sample, float [B]; None omits the balancing
    term and gives plain DDPM (Eq. 2). Both predictions come from one forward pass of 2 B.
    """
    if weights is None:
        denoising = (predict(noisy, times, labels) - noise).square().mean()
        return Loss(denoising, denoising, torch.zeros_like(denoising))
    both = predict(torch.cat([noisy, noisy]), torch.cat([times, times]), torch.cat([labels, other_labels]))
    predicted, other = both.chunk(2)
    denoising = (predicted - noise).square().mean()
    pulled = (predicted - other.detach()).square().mean(dim=(1, 2, 3))
    pulling = (predicted.detach() - other).square().mean(dim=(1, 2, 3))
    balancing = (weights * (pulled + gamma * pulling)).mean()
    return Loss(denoising + balancing, denoising, balancing)
