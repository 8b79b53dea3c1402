"""Steps of latents towards pictures that a classifier finds useful (LDM-FG, Eq. 3, in the form of its public code)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
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
    """The feedback of the classifier in `guide`. Raises InputError if it is missing or damaged, or the features are not its own."""
    weights = only(inputs, "guide")
    guide = networks.load(weights, device).requires_grad_(False)
    height, width = networks.outcome(weights)["picture_size"]
    if height != width and not asked["side"]:
        raise InputError(f"{weights} was trained on pictures of {width} x {height}; set the side of the feedback")
    embeddings = None
    if "guide_features" in inputs:
        path, classes = only(inputs, "guide_features"), guide.description["classes"]
        found = read_features(path, torch.device("cpu"))
        fits = found["features"].shape[1] == guide.backbone.feature_size and (found["labels"] < classes).all()
        if not (fits and found["features"].isfinite().all()):
            raise InputError(
                f"{path} has other classes than {weights}, features of another size, or some that are not finite; make the features again"
            )
        embeddings = Embeddings(found["features"], found["labels"], classes, asked["covariance"], device)
    return Feedback(guide, asked | {"side": asked["side"] or height}, embeddings)


def require_classes(weights: Path, rows: pd.DataFrame) -> None:
    """Raise InputError if a guide's classes are not those of the rows of a plan: class, class_name."""
    names = dict(enumerate(networks.outcome(weights)["class_names"]))
    for label, name in rows[["class", "class_name"]].drop_duplicates().itertuples(index=False):
        if names.get(label) != name:
            own = f"'{names[label]}'" if label in names else "nothing"
            raise InputError(
                f"{weights} has {own} as class {label}, but the plan '{name}'; name a guide that was trained on the pool's data set"
            )


class Feedback:
    """The feedback of one guide. asked: criterion, scale, every, mode, blended, levels and side, as in the config."""

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
        at_once: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents [B, C, H, W] after a step towards a larger criterion, and the network's prediction for those before it.

        predict: latents -> the conditional prediction. clean: (prediction, latents) -> the predicted clean latents.
        noise_share: the noise's share of the latents, sqrt(1 - alpha_bar). decode: clean latents -> pictures, [B, C, H, W],
        [-1, 1]. labels and seeds: of the pictures, int64 [B]. at_once: how many places of the latents, H x W of some pictures, to
        decode together, whose activations are kept for the gradient; None: all.

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
            count = len(estimate) if at_once is None else max(1, at_once // estimate[0, 0].numel())
            pieces = zip(*(part.split(count) for part in (estimate.detach(), labels, seeds)), strict=True)
            useful = torch.cat([self._gradient(*piece, decode) for piece in pieces])
            (gradient,) = torch.autograd.grad(estimate, start, useful)
        gradient, size = gradient.float(), _length(latents.float())
        step = gradient * (self._asked["scale"] * size / (_length(gradient) + 1e-8))
        return (latents.float() + step).to(latents.dtype), predicted.detach()

    def _gradient(
        self, estimate: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor, decode: Prediction
    ) -> torch.Tensor:
        """The gradient of the criterion at the estimates, [B, C, H, W], with a factor of its own for each picture.

        Powers of two keep it in the range of float16, in which that of a guide that is sure would be 0.
        """
        estimate.requires_grad_()
        pictures = decode(estimate)
        shown = pictures.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(self._criterion(shown, labels, seeds).sum(), shown)
        (gradient,) = torch.autograd.grad(pictures, estimate, _in_range(gradient).to(pictures.dtype))
        return _in_range(gradient.float()).to(gradient.dtype)

    def _criterion(self, pictures: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        if self._asked["levels"] == "clamped":
            pictures = (pictures.clamp(-1, 1) + 1) / 2
        else:
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


def _in_range(gradient: torch.Tensor) -> torch.Tensor:
    """Each picture's gradient times the power of two that brings its largest number to 1/16 or more, and below 1/8."""
    exponent = torch.frexp(gradient.flatten(1).abs().amax(dim=1)).exponent
    return torch.ldexp(gradient, (-3 - exponent).clamp(max=126)[:, None, None, None])


def _length(latents: torch.Tensor) -> torch.Tensor:
    """The Euclidean length of each picture's latents, [B, 1, 1, 1]."""
    return latents.flatten(1).norm(dim=1)[:, None, None, None]
