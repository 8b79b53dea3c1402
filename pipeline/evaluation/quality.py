"""Quality of a whole pool: Fréchet distance and inception score from running sums, in bounded memory."""

import numpy as np
import torch


class Some:
    """The features of at most `size` rows of a stream of `total`, drawn without replacement, alike each time; all if None."""

    def __init__(self, total: int, size: int | None):
        self._chosen = np.sort(np.random.default_rng(0).permutation(total)[:size])
        self._seen, self._kept = 0, []

    def update(self, features: torch.Tensor) -> None:
        """Add the next rows, float [N, D]."""
        first, end = np.searchsorted(self._chosen, [self._seen, self._seen + len(features)])
        self._kept.append(features[torch.from_numpy(self._chosen[first:end] - self._seen)])
        self._seen += len(features)

    def rows(self) -> torch.Tensor:
        """The rows of the draw, in the stream's order, float [size, D]."""
        return torch.cat(self._kept)


class Moments:
    """Running mean and covariance of float [N, D] features, in float64."""

    def __init__(self, size: int):
        self._count, self._sum, self._products = 0, np.zeros(size), np.zeros((size, size))

    def update(self, features: np.ndarray) -> None:
        features = features.astype(np.float64)
        self._count += len(features)
        self._sum += features.sum(0)
        self._products += features.T @ features

    def mean_and_covariance(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean, float64 [D], and unbiased covariance, float64 [D, D]; needs two samples."""
        mean = self._sum / self._count
        return mean, (self._products - self._count * np.outer(mean, mean)) / (self._count - 1)


def frechet_distance(one: Moments, other: Moments) -> float:
    """Fréchet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), as in FID (Heusel et al. 2017, Eq. 6)."""
    mean1, covariance1 = one.mean_and_covariance()
    mean2, covariance2 = other.mean_and_covariance()
    root_trace = np.sqrt(np.linalg.eigvals(covariance1 @ covariance2).astype(complex)).real.sum()
    return float(np.square(mean1 - mean2).sum() + np.trace(covariance1 + covariance2) - 2 * root_trace)


class InceptionScore:
    """exp of the mean KL divergence from p(y|x) to p(y) (Salimans et al. 2016), as mean and deviation over splits.

    Pictures go to splits in turn, so a pool ordered by class is spread over all splits.
    """

    def __init__(self, classes: int, splits: int):
        self._count, self._probability = np.zeros(splits), np.zeros((splits, classes))
        self._information, self._seen = np.zeros(splits), 0

    def update(self, logits: np.ndarray) -> None:
        """Add float [N, classes] logits."""
        logits = logits.astype(np.float64)
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        split = (self._seen + np.arange(len(logs))) % len(self._count)
        self._seen += len(logs)
        np.add.at(self._count, split, 1)
        np.add.at(self._probability, split, np.exp(logs))
        np.add.at(self._information, split, (np.exp(logs) * logs).sum(1))

    def mean_and_deviation(self) -> tuple[float, float]:
        used = self._count > 0
        marginal = self._probability[used] / self._count[used, None]
        entropy = -np.where(marginal > 0, marginal * np.log(np.maximum(marginal, 1e-300)), 0).sum(1)
        scores = np.exp(self._information[used] / self._count[used] + entropy)
        return float(scores.mean()), float(scores.std())
