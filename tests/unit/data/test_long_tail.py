"""Long-tailed subsets: published counts, and the very pictures of LDAM's public code."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import cifar10, cifar100, digits
from pipeline.data.long_tail import exponential_counts, select
from pipeline.errors import InputError

FACTORS = (10, 50, 100, 200)
REAL = {"cifar100": (19573, 12608, 10847, 9502), "cifar10": (20431, 13996, 12406, 11203)}
TO_FILL = {"cifar100": (30427, 37392, 39153, 40498), "cifar10": (29569, 36004, 37594, 38797)}
LARGEST_AND_CLASSES = {"cifar100": (500, 100), "cifar10": (5000, 10)}
LDAM_CIFAR10_100 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]  # printed by LDAM's public code


def read(source, root):
    return source.open_source(root / source.LOCATION.folder, {}).data


@pytest.fixture(scope="module")
def labels(cifar_root):
    """Training labels of both CIFARs, in official order."""
    return {
        name: read(module, cifar_root).train_labels for name, module in (("cifar10", cifar10), ("cifar100", cifar100))
    }


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
@pytest.mark.parametrize("which", range(len(FACTORS)))
def test_counts_are_the_published_ones(source, which):
    counts = exponential_counts(*LARGEST_AND_CLASSES[source], FACTORS[which])
    assert counts.sum() == REAL[source][which]
    assert (counts.max() - counts).sum() == TO_FILL[source][which]


def test_counts_of_each_class_are_rounded_down():
    assert exponential_counts(5000, 10, 100).tolist() == LDAM_CIFAR10_100


def test_smallest_class_has_the_largest_over_the_factor():
    ends = [exponential_counts(500, 100, factor)[-1] for factor in FACTORS]
    assert ends == [50, 10, 5, 2]


def test_a_factor_that_empties_a_class_is_refused():
    with pytest.raises(InputError, match=r"imbalance_factor 501 .* at most 500 is allowed"):
        exponential_counts(500, 100, 501)


def test_a_factor_as_large_as_the_largest_class_leaves_one_picture():
    assert exponential_counts(500, 100, 500)[-1] == 1


def test_a_factor_as_large_as_a_class_is_allowed_whatever_the_rounding():
    assert exponential_counts(49, 10, 49)[-1] == 1


@pytest.mark.parametrize("source, digest", [("cifar10", "f7669c469c9ddf9a"), ("cifar100", "644b6d28caa663f3")])
def test_pictures_are_those_of_ldams_public_code(labels, source, digest):
    positions = select(labels[source], exponential_counts(*LARGEST_AND_CLASSES[source], 100), seed=0)
    assert hashlib.sha256(positions.astype("<i8").tobytes()).hexdigest().startswith(digest)


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_subset_of_a_higher_factor_lies_inside_that_of_a_lower(labels, source):
    sets = [
        set(select(labels[source], exponential_counts(*LARGEST_AND_CLASSES[source], factor), seed=0).tolist())
        for factor in FACTORS
    ]
    assert all(rarer < common for common, rarer in pairwise(sets))


@given(st.integers(1, 600), st.integers(1, 120), st.floats(1, 100))
def test_counts_fall_from_the_largest(largest, classes, factor):
    factor = min(factor, largest / 1.001)  # just below, for 1 / factor is rounded
    factor = max(factor, 1.0)
    counts = exponential_counts(largest, classes, factor)
    assert counts[0] == largest and len(counts) == classes
    assert (np.diff(counts) <= 0).all() and counts.min() >= 1
    assert classes == 1 or abs(counts[-1] - largest / factor) <= 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.data())
def test_selection_takes_the_asked_number_of_each_class(drawn, data):
    labels = np.array(drawn)
    available = np.bincount(labels, minlength=5)
    counts = np.array([data.draw(st.integers(0, int(most))) for most in available])
    seed = data.draw(st.integers(0, 5))
    positions = select(labels, counts, seed)
    assert (np.diff(positions) > 0).all()
    assert (np.bincount(labels[positions], minlength=5) == counts).all()
    assert set(positions.tolist()) <= set(select(labels, available, seed).tolist())
    fewer = select(labels, counts // 2, seed)
    assert set(fewer.tolist()) <= set(positions.tolist())


def test_selection_depends_on_the_seed():
    labels, counts = np.repeat([0, 1], 100), np.array([50, 10])
    assert select(labels, counts, 0).tolist() == select(labels, counts, 0).tolist()
    assert select(labels, counts, 0).tolist() != select(labels, counts, 1).tolist()


def test_selection_of_more_than_there_are_is_refused():
    with pytest.raises(InputError, match="class 1 has 2 training pictures, fewer than the 3 asked"):
        select(np.array([0, 0, 0, 1, 1]), np.array([1, 3]), 0)


def test_digits_are_split_evenly_and_share_no_picture(tmp_path):
    from sklearn.datasets import load_digits

    raw = read(digits, tmp_path)
    assert np.bincount(raw.train_labels).tolist() == [120] * 10
    assert np.bincount(raw.test_labels).tolist() == [50] * 10
    assert raw.train_pictures.shape == (1200, 8, 8) and raw.train_pictures.dtype == np.uint8
    assert len(raw.class_names) == 10
    together = np.concatenate([raw.train_pictures, raw.test_pictures])
    given = load_digits().images
    assert together.max() == 255 and len(np.unique(together, axis=0)) == len(together)
    assert set(map(bytes, together)) <= {bytes(np.round(image * 255 / 16).astype(np.uint8)) for image in given}


def test_digits_are_the_same_whenever_read(tmp_path):
    first, second = read(digits, tmp_path), read(digits, tmp_path)
    assert (first.train_pictures == second.train_pictures).all() and (first.test_labels == second.test_labels).all()


def test_cifar_has_official_sizes_and_labels(cifar_root):
    raw = read(cifar100, cifar_root)
    assert raw.train_pictures.shape == (50_000, 32, 32, 3) and raw.test_pictures.shape == (10_000, 32, 32, 3)
    assert np.bincount(raw.train_labels).tolist() == [500] * 100
    assert raw.class_names[0] == "apple" and raw.class_names[99] == "worm"
