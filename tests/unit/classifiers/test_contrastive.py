"""SAU's contrastive branch against plain loops: the three losses, noise found by neighbours, and prototypes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from pipeline.classifiers.contrastive import corrected, detected_noise, prototypes, supervised_contrastive
from pipeline.errors import InputError

STRATEGIES = ["L1", "L2", "L3"]


def unit(*shape, seed=0):
    random = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=random, dtype=torch.float64), dim=-1)


def anchors(labels, noise, classes, seed=0, size=5):
    """What the loss takes, for pictures with these labels: two views of each and two prototypes of each class."""
    count, labels, noise = len(labels), torch.tensor(labels, dtype=torch.long), torch.tensor(noise, dtype=torch.bool)
    clean, classes = torch.zeros(2 * classes, dtype=torch.bool), torch.arange(classes)
    return {
        "vectors": unit(2 * (count + len(classes)), size, seed=seed),
        "labels": torch.cat([labels, labels, classes, classes]),
        "noise": torch.cat([noise, noise, clean]),
        "pictures": torch.cat([torch.arange(count).repeat(2), torch.zeros(2 * len(classes), dtype=torch.long)]),
    }


MIXED = anchors(labels=[0, 0, 1, 2, 1, 0], noise=[False, True, False, False, True, False], classes=3)


# The losses


def plain_loss(vectors, labels, noise, pictures, strategy, temperature):
    """Anchor by anchor, with sets of indices as in the paper."""
    z, every = vectors.detach().double().numpy(), range(len(labels))
    noisy = {i for i in every if noise[i]}
    total, counted = 0.0, 0
    for i in every:
        if i in noisy and strategy != "L2":
            continue
        compared = [k for k in every if k != i and not (strategy == "L1" and k in noisy)]
        if i in noisy:
            positives = [j for j in compared if j in noisy and pictures[j] == pictures[i]]
        else:
            positives = [j for j in compared if j not in noisy and labels[j] == labels[i]]
        counted += 1
        if positives:
            log_sum = np.logaddexp.reduce([z[i] @ z[k] / temperature for k in compared])
            total += sum(log_sum - z[i] @ z[j] / temperature for j in positives) / len(positives)
    return total / counted if counted else 0.0


@pytest.mark.parametrize("temperature", [0.001, 0.1, 1.0])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_losses_are_those_of_a_plain_loop(strategy, temperature):
    found = supervised_contrastive(**MIXED, strategy=strategy, temperature=temperature)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(plain_loss(**MIXED, strategy=strategy, temperature=temperature), rel=1e-12)


@st.composite
def batches(draw):
    classes, count = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    noise = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return anchors(labels, noise, draw(st.sampled_from([0, classes])), draw(st.integers(0, 99)))


@given(batches(), st.sampled_from(STRATEGIES))
def test_losses_are_those_of_a_plain_loop_for_any_batch_with_or_without_prototypes(batch, strategy):
    found = supervised_contrastive(**batch, strategy=strategy)
    assert found.item() == pytest.approx(plain_loss(**batch, strategy=strategy, temperature=0.1), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_are_those_of_the_losses(strategy):
    rest = {name: value for name, value in MIXED.items() if name != "vectors"}
    vectors = MIXED["vectors"].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: supervised_contrastive(z, **rest, strategy=strategy), vectors)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_noise_the_strategies_are_one(strategy):
    clean = MIXED | {"noise": torch.zeros_like(MIXED["noise"])}
    torch.testing.assert_close(
        supervised_contrastive(**clean, strategy=strategy), supervised_contrastive(**clean, strategy="L1")
    )


def test_l1_is_the_loss_of_the_batch_without_its_noise():
    kept = {name: value[~MIXED["noise"]] for name, value in MIXED.items()}
    torch.testing.assert_close(
        supervised_contrastive(**MIXED, strategy="L1"), supervised_contrastive(**kept, strategy="L1")
    )


def positives(batch, strategy):
    """bool [A, A], read off the gradient: where all vectors are at right angles, only a positive is pulled towards another.

    With A' anchors, A'' compared and n positives, z_j's part in z_i's gradient is that of both as anchors of each other,
    at most 2 / (A' A''), and less by 2 / (A' n) where they are positives.
    """
    vectors = torch.eye(len(batch["labels"]), dtype=torch.float64, requires_grad=True)
    supervised_contrastive(**batch | {"vectors": vectors}, strategy=strategy, temperature=1.0).backward()
    return vectors.grad < -1e-9


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_anchor_has_two_positives_for_each_kept_picture_and_one_for_the_other_prototype(strategy):
    found = positives(MIXED, strategy).sum(1)
    kept = MIXED["labels"][:6][~MIXED["noise"][:6]].bincount(minlength=3)
    assert kept.tolist() == [2, 1, 1]
    clean = ~MIXED["noise"]
    assert found[clean].equal((2 * kept + 1)[MIXED["labels"][clean]])


def test_a_noisy_pictures_only_positive_is_its_other_view_with_l2_and_nothing_else():
    noisy = MIXED["noise"].nonzero().flatten().tolist()
    assert noisy == [1, 4, 7, 10]
    assert positives(MIXED, "L2")[noisy].nonzero()[:, 1].tolist() == [7, 10, 1, 4]
    for strategy in ("L1", "L3"):
        assert not positives(MIXED, strategy)[noisy].any()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("batch", "zero"),
    [
        (anchors([0, 1, 1], [True] * 3, classes=0), ["L1", "L3"]),  # all noise
        (anchors([0, 1, 1], [True] * 3, classes=2), []),
        (anchors([0, 0], [False, True], classes=1), []),  # one class: nothing to be pushed away from
        ({name: value[:1] for name, value in MIXED.items()}, STRATEGIES),  # one vector
        ({name: value[[0, 2, 3]] for name, value in MIXED.items()}, STRATEGIES),  # no positives
        ({name: value[[0, 1, 7]] for name, value in MIXED.items()}, ["L1", "L3"]),  # nothing left to compare with
    ],
)
def test_loss_and_gradients_are_finite_where_there_is_little_to_compare(batch, zero, strategy):
    vectors = batch["vectors"].float().requires_grad_()
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        loss = supervised_contrastive(**batch | {"vectors": vectors}, strategy=strategy)
        loss.backward()
    assert (loss == 0) if strategy in zero else (0 < loss < 100)
    assert vectors.grad.isfinite().all() and (vectors.grad == 0).all() == (strategy in zero)


def test_anchors_without_a_positive_add_nothing_but_count():
    two = {name: value[[0, 5]] for name, value in MIXED.items()}  # of one class
    lonely = {name: value[[0, 5, 2]] for name, value in MIXED.items()}
    z = lonely["vectors"].numpy() / 0.1**0.5
    pairs = [np.logaddexp(z[i] @ z[1 - i], z[i] @ z[2]) - z[i] @ z[1 - i] for i in (0, 1)]
    assert supervised_contrastive(**lonely, strategy="L1").item() == pytest.approx(sum(pairs) / 3)
    assert supervised_contrastive(**two, strategy="L1").item() == pytest.approx(0, abs=1e-12)


def test_bfloat16_is_computed_in_float32_under_autocast_too():
    rest = {name: value for name, value in MIXED.items() if name != "vectors"}
    vectors = MIXED["vectors"].bfloat16()
    expected = supervised_contrastive(vectors.float(), **rest, strategy="L2")
    with torch.autocast("cpu", torch.bfloat16):
        assert supervised_contrastive(vectors.float(), **rest, strategy="L2") == expected
        found = supervised_contrastive(vectors, **rest, strategy="L2")
    assert found == expected and found.dtype == torch.float32


# Noise


def plain_correction(vectors, labels, generated, prototypes, k):
    """Picture by picture: sort what is known by cosine, count, and take the nearest of the labels with most votes."""
    cosine = functional.cosine_similarity
    known = [(vectors[i], labels[i].item()) for i in range(len(labels)) if not generated[i]]
    known += [(prototype, label) for label, prototype in enumerate(prototypes)]
    found = labels.tolist()
    for i in range(len(labels)):
        if generated[i]:
            near = sorted(known, key=lambda one: -cosine(vectors[i], one[0], dim=0).item())[:k]
            names = [label for _, label in near]
            found[i] = max(names, key=lambda name: (names.count(name), -names.index(name)))
    return found


@given(st.integers(0, 999), st.integers(1, 5), st.floats(0, 1))
def test_labels_are_corrected_as_by_a_plain_loop(seed, k, share):
    random = torch.Generator().manual_seed(seed)
    labels, generated = torch.randint(5, (12,), generator=random), torch.rand(12, generator=random) < share
    centres = 3 * unit(5, 4, seed=seed)  # of any length: neighbours are near by cosine
    vectors = functional.normalize(centres[labels] + torch.randn(12, 4, generator=random, dtype=torch.float64), dim=1)
    expected = plain_correction(vectors, labels, generated, centres, k)
    assert corrected(vectors, labels, generated, centres, k).tolist() == expected


def at(*degrees):
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_a_majority_wins_and_among_equals_the_nearest():
    prototypes = at(180, 184, 188, 192)
    vectors, generated = at(0, 1, 10, 11, 30), torch.tensor([True, False, False, False, False])
    labels = torch.tensor([3, 0, 1, 1, 0])
    found = [corrected(vectors, labels, generated, prototypes, k)[0].item() for k in (1, 2, 3, 4)]
    assert found == [0, 0, 1, 0]


def test_generated_pictures_are_no_neighbours():
    twins, prototypes = at(0, 0, 0), at(90, 20)
    generated = torch.ones(3, dtype=torch.bool)
    assert corrected(twins, torch.tensor([0, 0, 0]), generated, prototypes).tolist() == [1, 1, 1]


def test_real_pictures_keep_their_labels_wherever_they_are():
    labels, generated = torch.tensor([0, 1, 0]), torch.tensor([False, False, True])
    views, prototypes = [at(90, 0, 0), at(90, 0, 0)], [at(0, 90), at(0, 90)]
    assert corrected(views[0], labels, generated, at(5, 90)).tolist() == [0, 1, 1]
    assert detected_noise(views, labels, generated, prototypes).tolist() == [False, False, True]


@pytest.mark.parametrize(("second", "third", "noise"), [(0, 0, False), (90, 0, True), (0, 90, True), (90, 90, True)])
def test_a_picture_is_noise_unless_the_neighbours_of_both_views_have_its_label(second, third, noise):
    labels, generated = torch.tensor([0]), torch.tensor([True])
    banks = [at(1, 91), at(2, 92)]
    assert detected_noise([at(second), at(third)], labels, generated, banks).tolist() == [noise]


def test_each_view_is_held_against_its_own_prototypes():
    labels, generated = torch.tensor([0]), torch.tensor([True])
    views, banks = [at(0), at(90)], [at(0, 90), at(90, 0)]
    assert not detected_noise(views, labels, generated, banks).any()
    assert detected_noise(views, labels, generated, banks[::-1]).all()


def test_bfloat16_vectors_are_corrected_with_float32_prototypes():
    vectors, banks = unit(40, 8).bfloat16(), unit(9, 8, seed=1).float()
    labels, generated = torch.zeros(40, dtype=torch.long), torch.ones(40, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        found = corrected(vectors, labels, generated, banks)
    assert found.tolist() == plain_correction(vectors.double(), labels, generated, banks.double(), 1)


@pytest.mark.parametrize("k", [0, 3])
def test_k_must_leave_neighbours_for_any_batch(k):
    with pytest.raises(InputError, match=f"k, is {k}, but must lie in 1..2"):
        corrected(at(0), torch.tensor([0]), torch.tensor([True]), at(0, 90), k)


# Prototypes


@pytest.mark.parametrize("normalise", [True, False])
def test_prototypes_are_the_means_of_their_classes(normalise):
    vectors, labels = unit(20, 6).float(), torch.arange(20) % 3
    found = prototypes(vectors, labels, 3, normalise)
    assert found.shape == (3, 6) and found.dtype == torch.float32
    for label in range(3):
        mean = np.mean([row for row, own in zip(vectors.numpy(), labels.tolist(), strict=True) if own == label], axis=0)
        expected = mean / np.sqrt((mean**2).sum()) if normalise else mean
        np.testing.assert_allclose(found[label].numpy(), expected, rtol=0, atol=1e-6)


def test_a_class_of_one_picture_is_its_own_prototype():
    vectors = unit(2, 6)
    for normalise in (True, False):
        torch.testing.assert_close(prototypes(vectors, torch.tensor([1, 0]), 2, normalise), vectors.flip(0))


def test_classes_without_a_picture_are_named():
    with pytest.raises(InputError, match=r"at least one real picture.* 7 of 9 classes have none: 0, 2, 3, 5, 6$"):
        prototypes(unit(2, 6), torch.tensor([1, 4]), 9)
