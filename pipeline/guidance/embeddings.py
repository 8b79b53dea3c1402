"""Normal distributions of the real pictures' features, one for each class, for the hardness score (LDM-FG, Eq. 7)."""

import functools
import math

import numpy as np
import torch
from sklearn.covariance import LedoitWolf

from pipeline.errors import InputError


class Embeddings:
    """Means of the classes, and covariances shrunk as by Ledoit and Wolf (2004), since classes have fewer pictures than features.

    features: float [N, F] of real pictures; labels: int64 [N]. covariance: `tied`, one of all pictures around their classes'
    means; or `per_class`. Raises InputError for a class of `classes` without pictures or, with `per_class`, whose pictures
    have no covariance.
    """

    def __init__(
        self, features: torch.Tensor, labels: torch.Tensor, classes: int, covariance: str, device: torch.device
    ):
        self._features, self._labels = features.double().numpy(), labels.numpy()
        counts = np.bincount(self._labels, minlength=classes)
        if not counts.all():
            raise InputError(
                f"class {int(np.argmin(counts))} has no real picture, so no hardness; use the criterion entropy or loss"
            )
        if covariance == "per_class" and counts.min() < 2:
            raise InputError(
                f"class {int(np.argmin(counts))} has one real picture alone, which has no covariance; use `covariance: tied`, or "
                "another criterion"
            )
        sums = np.zeros((classes, self._features.shape[1]))
        np.add.at(sums, self._labels, self._features)
        self._means, self._tied, self._device = sums / counts[:, None], covariance == "tied", device
        self._normal = functools.lru_cache(maxsize=16)(self._fitted)  # a class's matrix may be large

    def negative_log_likelihood(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Eq. 7 of each row, float32 [B]; the gradient reaches the features, float [B, F]."""
        means = torch.from_numpy(self._means[labels.cpu().numpy()]).to(self._device, torch.float32)
        found = []
        for row, label in zip(features.float() - means, labels.tolist(), strict=True):
            precision, log_determinant = self._normal(0 if self._tied else label)
            squared = (row @ precision * row).sum()
            found.append((squared + log_determinant + len(row) * math.log(2 * math.pi)) / 2)
        return torch.stack(found)

    def _fitted(self, label: int) -> tuple[torch.Tensor, float]:
        """Inverse of the covariance, float32 [F, F], and the logarithm of its determinant."""
        own = self._labels == label
        centred = self._features - self._means[self._labels] if self._tied else self._features[own] - self._means[label]
        found = LedoitWolf(assume_centered=True).fit(centred)
        sign, log_determinant = np.linalg.slogdet(found.covariance_)
        if sign <= 0 or not math.isfinite(log_determinant):
            whose = "the real pictures" if self._tied else f"the real pictures of class {label}"
            raise InputError(
                f"the features of {whose} have no covariance; use `covariance: tied`, or another criterion"
            )
        return torch.from_numpy(found.precision_).to(self._device, torch.float32), float(log_determinant)
