"""Group DRO, IRM and LISA against plain versions of their formulas in float64, and the best epoch on a validation split."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_training import Memory, settings, source, trained
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.best import Best, accuracies
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import ALONE
from pipeline.classifiers.scheme import TrainingData
from pipeline.classifiers.schemes import group_dro, irm, lisa
from pipeline.errors import InputError

CONTEXTS = torch.tensor([0, 1, 0, 2])
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
GROUPS = torch.tensor([0, 1, 2, 3, 0, 1, -1, 3, 0, 0])


class Linear(torch.nn.Module):
    """A network of a weight for each level, in float64, with a picture's levels as its features."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(0)
        self.weight = torch.nn.Parameter(torch.from_numpy(random.normal(size=(12, 3)) / 400))

    def forward(self, pictures):
        return Exact(pictures.double().flatten(1) @ self.weight)


class Exact(torch.Tensor):
    """Logits that stay in float64."""

    def float(self):
        return self.as_subclass(torch.Tensor)


def built(module, scheme, **keys):
    data = TrainingData(torch.ones(3), 0, None, None, contexts=CONTEXTS)
    return module.build(settings(scheme=scheme, **keys), Linear(), data)


def batch():
    pictures = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (10, 3, 2, 2)).astype(np.uint8))
    return Batch([pictures], LABELS, torch.zeros(10, dtype=torch.bool), GROUPS)


def logits_of(scheme):
    return (batch().views[0].double().flatten(1) @ scheme.network.weight).detach()


def loss_and_slope(scheme, random=None):
    loss = scheme([batch()], 0, random)
    (slope,) = torch.autograd.grad(loss, scheme.network.weight)
    return loss.item(), slope


def test_group_dro_raises_the_weight_of_groups_with_higher_losses():
    scheme = built(group_dro, "group_dro", group_step=0.7)
    scheme.q = scheme.q.double()
    q = [1 / 5] * 5
    for _ in range(3):
        losses = functional.cross_entropy(logits_of(scheme), LABELS, reduction="none")
        means = [losses[group == GROUPS].mean().item() if group in GROUPS else 0 for group in (0, 1, 2, 3, -1)]
        q = [weight * np.exp(0.7 * mean) for weight, mean in zip(q, means, strict=True)]
        q = [weight / sum(q) for weight in q]
        loss, slope = loss_and_slope(scheme)
        assert loss == pytest.approx(sum(weight * mean for weight, mean in zip(q, means, strict=True)), rel=1e-12)
        assert scheme.q.tolist() == pytest.approx(q, rel=1e-12)
        weights = torch.tensor(
            [q[group] / (group == GROUPS).sum().item() for group in GROUPS.tolist()], dtype=torch.float64
        )
        of_rows = (
            functional.cross_entropy(scheme.network(batch().views[0]).float(), LABELS, reduction="none") * weights
        ).sum()
        torch.testing.assert_close(slope, torch.autograd.grad(of_rows, scheme.network.weight)[0], rtol=1e-12, atol=0)
    assert max(q) == q[int(np.argmax(means))]


def plain_irm(logits, weight):
    """IRMv1 with autograd's slope by a factor of the logits, context after context."""
    total, contexts = 0, [0, 1, 2, -1]
    of = torch.tensor([CONTEXTS[group] if group >= 0 else -1 for group in GROUPS.tolist()])
    for context in contexts:
        own, labels = logits[of == context], LABELS[of == context]
        factor = torch.ones((), dtype=torch.float64, requires_grad=True)
        total = total + functional.cross_entropy(own, labels)
        if len(labels) > 1:
            losses = [functional.cross_entropy(own[start::2] * factor, labels[start::2]) for start in (0, 1)]
            one, other = (torch.autograd.grad(loss, factor, create_graph=True)[0] for loss in losses)
            total = total + weight * one * other
    return total / len(contexts)


def test_irm_is_its_formula_and_its_penalty_starts_late():
    scheme = built(irm, "irm", penalty_weight=30, penalty_start=2)
    for weight in (1, 1, 30, 30):
        loss, slope = loss_and_slope(scheme)
        expected = plain_irm(batch().views[0].double().flatten(1) @ scheme.network.weight, weight)
        assert loss == pytest.approx(expected.item(), rel=1e-12)
        torch.testing.assert_close(
            slope, torch.autograd.grad(expected, scheme.network.weight)[0], rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("same_label", [0.0, 1.0])
def test_lisa_mixes_rows_with_their_partners(same_label):
    scheme = built(lisa, "lisa", same_label=same_label, mixing_alpha=0.5)
    loss, _ = loss_and_slope(scheme, np.random.default_rng(3))
    random = np.random.default_rng(3)
    random.random()
    numbers = random.random((10, 10))
    shares = random.beta(0.5, 0.5, 10).astype(np.float32)
    of = [int(CONTEXTS[group]) if group >= 0 else -1 for group in GROUPS.tolist()]
    pictures, total, mixed = batch().views[0].double(), 0, 0
    for row in range(10):
        fits = [
            other
            for other in range(10)
            if (LABELS[other] == LABELS[row]) == bool(same_label) and (of[other] == of[row]) != bool(same_label)
        ]
        partner = min(fits, key=lambda other: numbers[row, other]) if fits else row
        mixed += partner != row
        share = float(shares[row])
        own = share * pictures[row] + (1 - share) * pictures[partner]
        logits = own.flatten()[None] @ scheme.network.weight.detach()
        for label, weight in ((LABELS[row], share), (LABELS[partner], 1 - share)):
            total += weight * functional.cross_entropy(logits, label[None]).item()
    assert loss == pytest.approx(total / 10, rel=1e-5)
    assert mixed > 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans())
def test_partners_share_exactly_one_of_label_and_context(seed, count, same_label):
    random = np.random.default_rng(seed)
    labels, contexts = (torch.from_numpy(random.integers(0, 3, count)) for _ in range(2))
    partners = lisa.partners_of(labels, contexts, same_label, torch.from_numpy(random.random((count, count))))
    for row, partner in enumerate(partners.tolist()):
        alike, near = labels == labels[row], contexts == contexts[row]
        fits = (alike & ~near if same_label else ~alike & near).tolist()
        assert fits[partner] if any(fits) else partner == row


@pytest.mark.parametrize("scheme", ["group_dro", "irm", "lisa"])
def test_without_groups_they_are_refused(scheme, tmp_path):
    data = source()._replace(contexts=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(InputError, match=f"the scheme {scheme} needs groups, but the data set has none"):
        trained(tmp_path, settings(scheme=scheme), data=data)


# The best epoch on the validation split


def test_the_best_epoch_is_kept_and_a_later_equal_one_is_not(tmp_path):
    given_ = settings(epochs=6, select_by="val_top1", learning_rate=0.02)
    validation = source(30, 4)
    network, history = trained(tmp_path / "a", given_, validation=validation)
    best = history["val_top1"].idxmax()
    assert history["kept"].tolist() == [row == best for row in range(6)]
    assert accuracies(network, validation, ALONE)["top1"] == history["val_top1"][best]
    _, plain = trained(tmp_path / "b", settings(epochs=6, learning_rate=0.02))
    assert plain["kept"].tolist() == [False] * 5 + [True]
    assert plain.drop(columns="kept").equals(history.drop(columns=["kept", "val_top1"]))


def test_a_training_ends_when_nothing_better_comes(tmp_path):
    given_ = settings(epochs=9, select_by="val_top1", patience=2, learning_rate=1e-9)
    network, history = trained(tmp_path / "a", given_, validation=source(30, 4))
    assert len(history) == 3 and history["kept"].tolist() == [True, False, False]
    again, continued = trained(tmp_path / "a", given_, validation=source(30, 4))  # nothing is left to do
    assert continued.equals(history) and all(map(torch.equal, network.parameters(), again.parameters()))


def test_a_killed_training_remembers_its_best_epoch(tmp_path):
    given_ = settings(epochs=5, select_by="val_worst_group", ema_decay=0.5)
    validation = source(30, 4)
    network, history = trained(tmp_path / "whole", given_, validation=validation)
    with pytest.raises(SystemExit):
        trained(tmp_path / "parts", given_, validation=validation, checkpoint=Memory(tmp_path / "parts", ["end"]))
    again, continued = trained(tmp_path / "parts", given_, validation=validation)
    assert continued.equals(history) and all(map(torch.equal, network.parameters(), again.parameters()))


def test_the_lowest_accuracy_of_a_group_with_pictures_is_that_of_the_worst_one():
    network = Network("small", 4, 3, [0.5] * 3, [0.5] * 3)
    data = source(30, 4)
    _, logits = network.predict(data.pictures)
    right = logits.argmax(1) == data.labels
    by_group = [100 * right[data.groups == group].double().mean().item() for group in range(4)]
    assert accuracies(network, data, ALONE)["worst_group"] == pytest.approx(min(by_group))
    assert accuracies(network, data, ALONE)["top1"] == pytest.approx(100 * right.double().mean().item())


@pytest.mark.parametrize(
    ("keys", "validation", "told"),
    [
        ({"select_by": "val_top1"}, None, "has no validation split; set select_by: last"),
        (
            {"select_by": "val_worst_group"},
            source(6)._replace(groups=torch.full((6,), -1)),
            "the validation split has no groups; set select_by: val_top1, or last",
        ),
    ],
)
def test_what_cannot_be_chosen_by_is_told_before_training(keys, validation, told, tmp_path):
    with pytest.raises(InputError, match=told):
        trained(tmp_path, settings(**keys), validation=validation)


def test_the_best_weights_are_a_copy():
    layer, best = torch.nn.Linear(2, 2), Best()
    best.look(layer, 1, 0.0)
    kept = layer.weight.detach().clone()
    torch.nn.init.zeros_(layer.weight)
    best.look(layer, 2, 0.0)
    assert best.epoch == 1 and best.is_stale(1) and not best.is_stale(2) and not best.is_stale(None)
    best.look(layer, 3, 0.0, 50.0)
    best.look(layer, 4, 0.0, 40.0)
    assert best.epoch == 3  # equal by the figure to choose by, and better by the other
    layer.load_state_dict({"weight": kept, "bias": layer.bias})
    best.look(layer, 5, 1.0, 0.0)
    best.look(layer, 6, 0.5, 60.0)
    best.look(layer, 7, 0.5, 70.0)
    assert best.epoch == 5
    other = Best()
    other.load_state_dict(best.state_dict())
    other.restore(layer)
    assert torch.equal(layer.weight, kept) and other.is_stale(2) and not other.is_stale(3)
