"""Accuracy by shot, Fréchet distance and inception score against plain formulas and an independent library."""

import numpy as np
import pandas as pd
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy
from torchmetrics.image.fid import FrechetInceptionDistance

from pipeline.evaluation.accuracy import accuracy, accuracy_of_each
from pipeline.evaluation.figures import figures
from pipeline.evaluation.quality import InceptionScore, Moments, frechet_distance

COUNTS = np.array([500, 101, 100, 21, 20, 19, 5])


SHOTS = {
    "many": {0, 1},
    "medium": {2, 3, 4},
    "few": {5, 6},
    "medium_few": {2, 3, 4, 5, 6},
    "medium_le20": {2, 3},
    "few_le20": {4, 5, 6},
}


def plain_accuracy(labels, predicted, classes):
    """Percent correct among the test pictures of some classes, by a loop."""
    hits = [truth == guess for truth, guess in zip(labels, predicted, strict=True) if truth in classes]
    return 100 * sum(hits) / len(hits)


def guesses(labels):
    random = np.random.default_rng(0)
    return np.where(random.random(len(labels)) < 0.6, labels, random.integers(0, 7, len(labels)))


def test_accuracy_by_shot_equals_a_loop():
    labels = np.repeat(np.arange(7), 30)
    predicted = guesses(labels)
    expected = {name: plain_accuracy(labels, predicted, classes) for name, classes in SHOTS.items()}
    expected |= dict.fromkeys(("top1", "balanced"), plain_accuracy(labels, predicted, range(7)))
    assert accuracy(labels, predicted, COUNTS) == pytest.approx(expected)


@pytest.mark.parametrize("classes", [5, 6, 20])
def test_top_5_is_that_of_torchmetrics(classes):
    random = np.random.default_rng(classes)
    labels = np.tile(np.arange(classes), 12)
    splits = np.repeat(["train", "val", "test"], 4 * classes)
    manifest = pd.DataFrame({"key": np.arange(len(labels)).astype(str), "class": labels, "split": splits})
    manifest["class_name"] = "class " + manifest["class"].astype(str)
    judged = manifest[manifest["split"] != "train"]
    probabilities = random.dirichlet(np.ones(classes), len(judged))
    metrics = figures(manifest, judged, probabilities, "test").metrics
    for name, prefix in (("test", ""), ("val", "val_")):
        rows = (judged["split"] == name).to_numpy()
        if classes == 5:  # of which all are among five
            assert f"{prefix}top5" not in metrics
            continue
        expected = multiclass_accuracy(
            torch.from_numpy(probabilities[rows]),
            torch.from_numpy(judged["class"].to_numpy()[rows]),
            classes,
            average="micro",
            top_k=5,
        )
        assert metrics[f"{prefix}top5"] == pytest.approx(100 * expected.item())


def test_an_uneven_split_has_shots_over_classes_and_over_pictures():
    """P4: public code (shot_acc of OLTR) takes the mean of the classes' accuracies."""
    labels = np.repeat(np.arange(7), [50, 10, 7, 30, 0, 3, 20])  # class 4 has no picture, and counts in no mean
    predicted = guesses(labels)
    found = accuracy(labels, predicted, COUNTS)
    for name, classes in SHOTS.items():
        each = [plain_accuracy(labels, predicted, {label}) for label in classes - {4}]
        assert found[name] == pytest.approx(np.mean(each))
        assert found[f"{name}_over_pictures"] == pytest.approx(plain_accuracy(labels, predicted, classes))
        assert abs(found[name] - found[f"{name}_over_pictures"]) > 0.1
    assert found["top1"] == pytest.approx(plain_accuracy(labels, predicted, range(7)))
    each = [plain_accuracy(labels, predicted, {label}) for label in set(range(7)) - {4}]
    assert found["balanced"] == pytest.approx(np.mean(each))


def test_groups_without_classes_are_left_out():
    found = accuracy(np.array([0, 1]), np.array([0, 0]), np.array([50, 30]))
    assert found == {"top1": 50, "medium": 50, "medium_few": 50, "medium_le20": 50, "balanced": 50}


def test_a_class_without_pictures_has_no_accuracy_and_a_picture_without_a_group_counts_for_none():
    correct = np.array([True, False, True, True])
    np.testing.assert_array_equal(accuracy_of_each(np.array([0, 0, 2, -1]), correct, 3), [50, np.nan, 100])


def test_percents_of_round_numbers_are_as_short_as_they_look():
    """per_class.csv had 67.10000000000001 for 671 of 1,000."""
    predicted = np.where(np.arange(1000) < 671, 0, 1)
    labels = np.zeros(1000, int)
    assert accuracy_of_each(labels, labels == predicted, 1).tolist() == [67.1]
    assert set(accuracy(labels, predicted, np.array([5000])).values()) == {67.1}


def moments(features, blocks):
    running = Moments(features.shape[1])
    for block in np.array_split(features, blocks):
        running.update(block)
    return running


def test_running_moments_equal_numpys():
    features = np.random.default_rng(1).normal(3, 2, (101, 5))
    mean, covariance = moments(features, 7).mean_and_covariance()
    np.testing.assert_allclose(mean, features.mean(0))
    np.testing.assert_allclose(covariance, np.cov(features.T))


def test_frechet_distance_equals_torchmetrics():
    random = np.random.default_rng(2)
    real = random.normal(size=(200, 8)) @ random.normal(size=(8, 8))
    made = random.normal(size=(150, 8)) @ random.normal(size=(8, 8)) + 1
    identity = torch.nn.Identity()
    identity.num_features = 8
    theirs = FrechetInceptionDistance(feature=identity)
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(made), real=False)
    assert frechet_distance(moments(real, 3), moments(made, 2)) == pytest.approx(theirs.compute().item(), rel=1e-9)


def test_frechet_distance_of_one_dimension_is_its_formula():
    random = np.random.default_rng(3)
    one, other = random.normal(0, 1, (500, 1)), random.normal(2, 3, (400, 1))
    expected = (one.mean() - other.mean()) ** 2 + (one.std(ddof=1) - other.std(ddof=1)) ** 2
    assert frechet_distance(moments(one, 1), moments(other, 1)) == pytest.approx(expected)


def test_frechet_distance_to_itself_is_zero():
    features = np.random.default_rng(4).normal(size=(64, 6))
    assert frechet_distance(moments(features, 1), moments(features, 5)) == pytest.approx(0, abs=1e-9)


def plain_inception_score(logits):
    """exp(E KL(p(y|x) || p(y))) of one split."""
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    marginal = probabilities.mean(0)
    return np.exp((probabilities * np.log(probabilities / marginal)).sum(1).mean())


@pytest.mark.parametrize("splits", [1, 3])
def test_inception_score_equals_a_plain_formula(splits):
    logits = np.random.default_rng(5).normal(0, 2, (61, 6))
    score = InceptionScore(6, splits)
    for block in np.array_split(logits, 4):
        score.update(block)
    each = [plain_inception_score(logits[split::splits]) for split in range(splits)]
    assert score.mean_and_deviation() == (pytest.approx(np.mean(each)), pytest.approx(np.std(each)))


def test_inception_score_of_sure_and_balanced_answers_is_the_number_of_classes():
    score = InceptionScore(4, 1)
    score.update(1000 * np.eye(4))
    assert score.mean_and_deviation()[0] == pytest.approx(4)


def test_inception_score_of_answers_that_are_all_alike_is_one():
    score = InceptionScore(4, 2)
    score.update(np.tile([1.0, 2.0, 3.0, 4.0], (10, 1)))
    assert score.mean_and_deviation() == (pytest.approx(1), pytest.approx(0))


def test_more_splits_than_pictures_use_the_pictures_there_are():
    score = InceptionScore(2, 10)
    score.update(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
    assert score.mean_and_deviation()[0] == pytest.approx(1)
