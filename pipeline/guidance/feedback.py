"""Steps of latents towards pictures that a classifier finds useful (LDM-FG, Eq. 3, in the form of its public code)."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers import network as networks
from pipeline.classifiers.features import read_features
from pipeline.errors import InputError
from pipeline.guidance.criteria import values
from pipeline.guidance.embeddings import Embeddings
from pipeline.jobs.inputs import Inputs, only

Prediction = Callable[[torch.Tensor], torch.Tensor]


def load(inputs: Inputs, asked: Mapping[str, Any], device: torch.device) -> "Feedback":
    """The feedback of the classifier in `guide`. Raises InputError if it is missing or damaged."""
    weights = only(inputs, "guide")
    guide = networks.load(weights, device).requires_grad_(False)
    height, width = networks.outcome(weights)["picture_size"]
    if height != width and not asked["side"]:
        raise InputError(f"{weights} was trained on pictures of {width} x {height}; set the side of the feedback")
    embeddings = None
    if "guide_features" in inputs:
        found = read_features(only(inputs, "guide_features"), torch.device("cpu"))
        classes = guide.description["classes"]
        embeddings = Embeddings(found["features"], found["labels"], classes, asked["covariance"], device)
    return Feedback(guide, asked | {"side": asked["side"] or height}, embeddings)


class Feedback:
    """The feedback of one guide. asked: criterion, scale, every, mode, blended and side, as in the config."""

    def __init__(self, guide: networks.Network, asked: Mapping[str, Any], embeddings: Embeddings | None = None):
        self._guide, self._asked, self._embeddings = guide, asked, embeddings

    def is_due(self, step: int) -> bool:
        """Whether a step, counted from 0, is guided."""
        return step % self._asked["every"] == 0

    def guided(
        self,
        latents: torch.Tensor,
        labels: torch.Tensor,
        seeds: torch.Tensor,
        predict: Prediction,
        clean: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        noise_share: float,
        decode: Prediction,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents [B, C, H, W] after a step towards a larger criterion, and the network's prediction for those before it.

        predict: latents -> the conditional prediction. clean: (prediction, latents) -> the predicted clean latents.
        noise_share: the noise's share of the latents, sqrt(1 - alpha_bar). decode: clean latents -> pictures, [B, C, H, W],
        [-1, 1]. labels and seeds: of the pictures, int64 [B].

        The step is `scale` times as long as the picture's latents, in the direction of the gradient. All is by picture, so
        a picture does not depend on the others of its batch.
        """
        exact = self._asked["mode"] == "exact"
        with torch.enable_grad():
            start = latents.detach().clone().requires_grad_()
            with torch.set_grad_enabled(exact):
                predicted = predict(start)
            estimate = clean(predicted, start)
            if self._asked["blended"]:
                estimate = noise_share * estimate + (1 - noise_share) * start
            if self._asked["mode"] == "pooled":
                estimate = functional.avg_pool2d(estimate, 2)
            criterion = self._criterion(decode(estimate), labels, seeds)
            (gradient,) = torch.autograd.grad(criterion.sum(), start)
        gradient, size = gradient.float(), _length(latents.float())
        step = gradient * (self._asked["scale"] * size / (_length(gradient) + 1e-8))
        return (latents.float() + step).to(latents.dtype), predicted.detach()

    def _criterion(self, pictures: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        pictures = pictures.float()
        low, high = (found.detach() for found in pictures.flatten(1).aminmax(dim=1))
        low, high = (bound[:, None, None, None] for bound in (low, high))
        pictures = (pictures - low) / (high - low).clamp(min=1e-8)
        pictures = pictures.expand(-1, 3, -1, -1)  # grey ones too
        side = self._asked["side"]
        if pictures.shape[-1] != side:
            pictures = functional.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
        features = self._guide.features(pictures * 255)
        logits = self._guide.head(features)
        return values(self._asked["criterion"], features, logits, labels, seeds, self._embeddings)


def _length(latents: torch.Tensor) -> torch.Tensor:
    """The Euclidean length of each picture's latents, [B, 1, 1, 1]."""
    return latents.flatten(1).norm(dim=1)[:, None, None, None]
