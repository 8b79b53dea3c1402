"""The clean latents that a diffusion model predicts."""

import torch


def predicted_clean(
    kind: str, prediction: torch.Tensor, noisy: torch.Tensor, alpha_bar: float | torch.Tensor
) -> torch.Tensor:
    """The clean latents that a prediction of this kind, `epsilon`, `v_prediction` or `sample`, means for noisy ones."""
    signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    if kind == "epsilon":
        return (noisy - noise * prediction) / signal
    if kind == "v_prediction":
        return signal * noisy - noise * prediction
    return prediction
