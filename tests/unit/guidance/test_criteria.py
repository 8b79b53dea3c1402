"""The criteria against plain formulas in float64, and their gradients against differences."""

import math

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.guidance.criteria import EACH, values
from pipeline.guidance.embeddings import Embeddings

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), [20, 9, 6])
REAL = RANDOM.normal(size=(35, 5)) @ RANDOM.normal(size=(5, 5)) + LABELS[:, None]
FEATURES, LOGITS = RANDOM.normal(size=(4, 5)), RANDOM.normal(size=(4, 3))
OF = np.array([2, 0, 1, 1])
SEEDS = np.array([4, 3, 8, 5])


def embeddings(covariance="tied"):
    return Embeddings(torch.from_numpy(REAL).float(), torch.from_numpy(LABELS), 3, covariance, CPU)


def found(criterion, features=FEATURES, logits=LOGITS, covariance="tied"):
    given = (torch.as_tensor(each) for each in (features, logits, OF, SEEDS))
    return values(criterion, *given, embeddings(covariance))


def probabilities():
    return np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


def shrunk(centred):
    """Ledoit and Wolf's (2004) covariance of rows around 0, from their Eq. 8 to 14."""
    count, size = centred.shape
    sample = centred.T @ centred / count
    mean = np.trace(sample) / size
    apart = ((sample - mean * np.eye(size)) ** 2).sum() / size
    spread = sum(((np.outer(row, row) - sample) ** 2).sum() / size for row in centred) / count**2
    share = min(spread, apart) / apart
    return share * mean * np.eye(size) + (1 - share) * sample


def hardness(covariance):
    means = np.stack([REAL[label == LABELS].mean(0) for label in range(3)])
    scores = []
    for row, label in zip(FEATURES, OF, strict=True):
        own = REAL[label == LABELS] - means[label] if covariance == "per_class" else REAL - means[LABELS]
        sigma, apart = shrunk(own), row - means[label]
        squared = apart @ np.linalg.inv(sigma) @ apart
        scores.append((squared + math.log(np.linalg.det(sigma)) + 5 * math.log(2 * math.pi)) / 2)
    return scores


def test_the_criteria_are_the_papers_equations():
    p = probabilities()
    np.testing.assert_allclose(found("loss"), -np.log(p[range(4), OF]))
    np.testing.assert_allclose(found("entropy"), -(p * np.log(p)).sum(1))
    for covariance in ("tied", "per_class"):
        np.testing.assert_allclose(found("hardness", covariance=covariance), hardness(covariance), rtol=1e-4)


def test_combined_is_one_of_the_three_for_each_picture():
    expected = [found(EACH[seed % 3])[row].item() for row, seed in enumerate(SEEDS)]
    np.testing.assert_allclose(found("combined"), expected, rtol=1e-5)
    assert len({seed % 3 for seed in SEEDS.tolist()}) == 3


@pytest.mark.parametrize("criterion", ["loss", "entropy"])
def test_gradients_are_differences(criterion):
    logits = torch.tensor(LOGITS, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: found(criterion, logits=given), logits)


def test_the_gradient_of_hardness_points_away_from_the_class():
    features = torch.tensor(FEATURES, dtype=torch.float32, requires_grad=True)
    (gradient,) = torch.autograd.grad(found("hardness", features=features).sum(), features)
    means = np.stack([REAL[label == LABELS].mean(0) for label in range(3)])
    centred = REAL - means[LABELS]
    expected = (FEATURES - means[OF]) @ np.linalg.inv(shrunk(centred))
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_fewer_pictures_than_features_have_a_covariance():
    wide = torch.from_numpy(RANDOM.normal(size=(6, 40))).float()
    for covariance in ("tied", "per_class"):
        made = Embeddings(wide, torch.tensor([0, 0, 0, 1, 1, 1]), 2, covariance, CPU)
        assert made.negative_log_likelihood(wide, torch.tensor([0, 0, 0, 1, 1, 1])).isfinite().all()


def test_a_class_without_pictures_and_one_without_a_covariance_are_told():
    features = torch.from_numpy(RANDOM.normal(size=(3, 4))).float()
    with pytest.raises(
        InputError, match="class 1 has no real picture, so no hardness; use the criterion entropy or loss"
    ):
        Embeddings(features, torch.tensor([0, 0, 2]), 3, "tied", CPU)
    with pytest.raises(
        InputError, match="class 1 has one real picture alone, which has no covariance; use `covariance: t"
    ):
        Embeddings(features, torch.tensor([0, 0, 1]), 2, "per_class", CPU)
    alone = Embeddings(features[[0, 1, 2, 2]], torch.tensor([0, 0, 1, 1]), 2, "per_class", CPU)
    with pytest.raises(InputError, match="of the real pictures of class 1 have no covariance; use `covariance: tied`"):
        alone.negative_log_likelihood(features[:1], torch.tensor([1]))
