"""Losses and class weights against plain formulas, picture by picture in float64."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline import kinds
from pipeline.classifiers.batch import Batch
from pipeline.classifiers.class_weights import Weights, effective_number
from pipeline.errors import InputError

COUNTS = torch.tensor([100, 40, 11, 5, 1])
CIFAR100 = torch.tensor([int(500 * 100 ** (-label / 99)) for label in range(100)])
SETTINGS = {  # of all losses; each reads its own
    "generated_weight": 0.3,
    "normalise_by": "batch",
    "gamma": 1.5,
    "form": "textbook",
    "max_margin": 0.5,
    "head_scale": 30.0,
    "tau": 1.7,
    "share": 1.0,
    "class_weights": None,
    "epochs": 10,
}
NUMBER = {"kind": "effective_number", "beta": 0.99, "start": 0.0}
POWER = {"kind": "inverse_power", "power": 1.2, "start": 0.0}
LOSSES = ("cross_entropy", "weighted_cross_entropy", "focal", "ldam", "balanced_softmax", "logit_adjustment")
WEIGHTED = ("cross_entropy", "focal", "ldam")


def build(kind, counts=COUNTS, **changed):
    return kinds.load("classifiers.losses", kind).build(SETTINGS | changed, counts)


def batch(seed=0, size=16, classes=5):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, classes, generator=random, dtype=torch.float64, requires_grad=True)
    generated = torch.rand(size, generator=random) < 0.5
    labels = torch.randint(0, classes, (size,), generator=random)
    return logits, Batch([], labels, generated, torch.full((size,), -1))


def plain_class_weights(weighting, counts):
    weights = []
    for n in counts.tolist():
        if weighting is None:
            weights.append(1.0)
        elif weighting["kind"] == "effective_number":
            # the geometric series, term by term
            weights.append(1 / sum(weighting["beta"] ** term for term in range(n)))
        else:
            weights.append(math.exp(-weighting["power"] * math.log(n)))
    return [weight * len(weights) / sum(weights) for weight in weights]


def plain(settings, kind, logits, labels, generated):
    """Each loss by its textbook formula, over Python numbers."""
    counts = COUNTS.tolist()
    class_weights = plain_class_weights(settings["class_weights"], COUNTS)
    costs, weights = [], []
    for row, label, made in zip(logits.tolist(), labels.tolist(), generated.tolist(), strict=True):
        weight = class_weights[label] if kind in WEIGHTED else 1.0
        odds = [math.exp(logit) for logit in row]
        if kind == "ldam":
            margin = settings["max_margin"] * (min(counts) / counts[label]) ** (1 / 4)
            odds[label] = math.exp(row[label] - settings["head_scale"] * margin)
        if kind == "balanced_softmax":
            plain_p = odds[label] / sum(odds)
            odds = [n * odd for n, odd in zip(counts, odds, strict=True)]
        if kind == "logit_adjustment":
            odds = [odd * (n / sum(counts)) ** settings["tau"] for n, odd in zip(counts, odds, strict=True)]
        if kind == "weighted_cross_entropy" and made:
            weight = settings["generated_weight"]
        p = odds[label] / sum(odds)
        cost = -weight * math.log(p)
        if kind == "focal":
            cost *= (1 - (p**weight if settings["form"] == "inside" else p)) ** settings["gamma"]
        if kind == "balanced_softmax":
            cost = settings["share"] * cost - (1 - settings["share"]) * math.log(plain_p)
        costs.append(cost)
        weights.append(weight)
    if kind == "focal" or (kind == "weighted_cross_entropy" and settings["normalise_by"] == "batch"):
        return sum(costs) / len(costs)
    return sum(costs) / sum(weights)


CASES = [
    *((kind, {"class_weights": weights}) for kind in WEIGHTED for weights in (None, NUMBER, POWER)),
    *(("focal", {"form": "inside", "class_weights": weights}) for weights in (None, NUMBER)),
    *(("weighted_cross_entropy", {"generated_weight": omega}) for omega in (0.0, 0.3, 1.0)),
    *(("weighted_cross_entropy", {"generated_weight": w, "normalise_by": "weights"}) for w in (0.0, 0.3, 1.0)),
    *(("balanced_softmax", {"share": alpha}) for alpha in (0.0, 0.3, 1.0)),
    ("logit_adjustment", {}),
]


@pytest.mark.parametrize(("kind", "changed"), CASES, ids=str)
def test_a_loss_and_its_slope_are_those_of_the_plain_formula(kind, changed):
    logits, drawn = batch()
    loss = build(kind, **changed)(logits, drawn, 0)
    loss.backward()

    def value(numbers):
        return plain(SETTINGS | changed, kind, numbers, drawn.labels, drawn.generated)

    numbers = logits.detach().numpy()
    assert loss.item() == pytest.approx(value(numbers), rel=1e-6)
    slope = np.zeros_like(numbers)
    for place in np.ndindex(numbers.shape):
        step = np.zeros_like(numbers)
        step[place] = 1e-5
        slope[place] = (value(numbers + step) - value(numbers - step)) / 2e-5
    np.testing.assert_allclose(logits.grad.numpy(), slope, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("kind", LOSSES)
def test_half_precision_logits_are_widened(kind):
    logits, drawn = batch()
    half = logits.detach().bfloat16()
    weights = {"class_weights": NUMBER}
    loss = build(kind, **weights)(half, drawn, 0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, build(kind, **weights)(half.float(), drawn, 0), rtol=0, atol=0)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_moves_to_a_device_as_a_whole_and_is_not_saved(kind):
    loss = build(kind, class_weights=NUMBER).to("meta")
    logits, drawn = batch()
    logits, drawn = logits.detach().to("meta"), Batch([], *(column.to("meta") for column in drawn[1:]))
    assert loss(logits, drawn, 0).device.type == "meta"
    assert {buffer.device.type for buffer in loss.buffers()} <= {"meta"}
    assert loss.state_dict() == {}


def test_plain_cross_entropy_is_torchs_to_the_bit():
    logits, drawn = batch(4, size=128)
    logits = logits.detach().float()
    assert torch.equal(build("cross_entropy")(logits, drawn, 0), functional.cross_entropy(logits, drawn.labels))


# Limiting cases: each is mean cross-entropy


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("weighted_cross_entropy", {"generated_weight": 1.0}),
        ("weighted_cross_entropy", {"generated_weight": 1.0, "normalise_by": "weights"}),
        ("focal", {"gamma": 0.0}),
        ("focal", {"gamma": 0.0, "form": "inside"}),
        ("ldam", {"max_margin": 0.0}),
        ("logit_adjustment", {"tau": 0.0}),
        ("cross_entropy", {"class_weights": POWER | {"power": 0.0}}),
        ("cross_entropy", {"class_weights": NUMBER | {"beta": 0.0}}),
    ],
    ids=str,
)
def test_a_loss_without_its_correction_is_cross_entropy(kind, changed):
    logits, drawn = batch(1)
    loss = build(kind, **changed)(logits, drawn, 0)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, drawn.labels))


@pytest.mark.parametrize("kind", ["cross_entropy", "balanced_softmax", "logit_adjustment"])
@pytest.mark.parametrize("weights", [NUMBER, POWER])
def test_uniform_counts_are_cross_entropy(kind, weights):
    logits, drawn = batch(2)
    loss = build(kind, torch.full((5,), 1300), class_weights=weights)(logits, drawn, 0)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, drawn.labels))


def test_logit_adjustment_with_tau_one_is_balanced_softmax():
    inputs = batch(3)
    adjusted = build("logit_adjustment", tau=1.0)(*inputs, 0)
    torch.testing.assert_close(adjusted, build("balanced_softmax")(*inputs, 0), rtol=1e-6, atol=0)


def test_without_class_weights_both_focal_forms_agree_and_with_them_they_differ():
    inputs = batch(5)
    forms = {"textbook", "inside"}
    plain_values = {round(build("focal", form=form)(*inputs, 0).item(), 9) for form in forms}
    weighted = {round(build("focal", form=form, class_weights=NUMBER)(*inputs, 0).item(), 3) for form in forms}
    assert (len(plain_values), len(weighted)) == (1, 2)


@pytest.mark.parametrize("form", ["textbook", "inside"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_finite_slope_where_the_label_is_certain(form, gamma):
    logits = torch.tensor([[200.0, 0, 0, 0, 0], [0, 200.0, 0, 0, 0]], requires_grad=True)
    drawn = Batch([], torch.tensor([0, 2]), torch.zeros(2).bool(), torch.full((2,), -1))
    loss = build("focal", gamma=gamma, form=form)(logits, drawn, 0)
    loss.backward()
    assert loss.item() == pytest.approx(100)
    assert (logits.grad[0] == 0).all()
    assert logits.grad[1].isfinite().all() and (logits.grad[1, 2] < 0).all()


def test_weight_zero_gives_generated_pictures_no_gradient():
    logits, drawn = batch(2)
    build("weighted_cross_entropy", generated_weight=0.0)(logits, drawn, 0).backward()
    assert (logits.grad[drawn.generated] == 0).all()
    assert (logits.grad[~drawn.generated] != 0).any(dim=1).all()


# LDAM-DRW's figures on CIFAR-100-LT, factor 100


def test_margins_are_those_of_ldam_drw():
    margins = build("ldam", CIFAR100, max_margin=0.5, head_scale=1.0).shifts
    assert round(margins[0].item(), 3) == 0.158
    assert margins[-1].item() == margins.max().item() == 0.5
    assert (margins.diff() >= 0).all()


def test_effective_number_weights_are_those_of_ldam_drw():
    weights = Weights(SETTINGS | {"class_weights": NUMBER | {"beta": 0.9999}}, CIFAR100)(0)
    assert round(weights.min().item(), 4) == 0.0449
    assert round(weights.max().item(), 3) == 4.378
    assert weights.sum().item() == pytest.approx(100, rel=1e-6)


# Class weights


@pytest.mark.parametrize("weighting", [NUMBER, POWER])
def test_class_weights_are_the_plain_formula_and_sum_to_the_classes(weighting):
    weights = Weights(SETTINGS | {"class_weights": weighting}, COUNTS)(0)
    np.testing.assert_allclose(weights.numpy(), plain_class_weights(weighting, COUNTS), rtol=1e-6)
    assert weights.sum().item() == pytest.approx(5)
    assert weights.dtype == torch.float32


def test_the_effective_number_runs_from_one_to_the_count():
    assert effective_number(torch.tensor([1, 7, 1000]), 0.0).tolist() == [1, 1, 1]
    np.testing.assert_allclose(effective_number(torch.tensor([1, 7, 1000]), 1 - 1e-9).numpy(), [1, 7, 1000], rtol=1e-5)
    assert effective_number(torch.tensor([10**6]), 0.99).item() == pytest.approx(100)


@pytest.mark.parametrize(("share", "epochs", "start"), [(0.0, 200, 0), (0.8, 200, 160), (0.5, 9, 4), (0.9, 7, 6)])
def test_class_weights_set_in_at_their_epoch(share, epochs, start):
    weights = Weights({"class_weights": POWER | {"start": share}, "epochs": epochs}, COUNTS)
    for epoch in range(epochs):
        assert (weights(epoch) == 1).all().item() is (epoch < start), epoch


@pytest.mark.parametrize("kind", WEIGHTED)
def test_losses_pass_their_epoch_on_to_the_class_weights(kind):
    inputs = batch(6)
    late = build(kind, class_weights=NUMBER | {"start": 0.8})
    unweighted, weighted = build(kind), build(kind, class_weights=NUMBER)
    assert torch.equal(late(*inputs, 7), unweighted(*inputs, 7))
    assert torch.equal(late(*inputs, 8), weighted(*inputs, 8))
    assert not torch.equal(late(*inputs, 7), late(*inputs, 8))


# Classes without training pictures


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("balanced_softmax", {}),
        ("logit_adjustment", {}),
        ("ldam", {}),
        ("cross_entropy", {"class_weights": NUMBER}),
        ("focal", {"class_weights": POWER}),
    ],
    ids=str,
)
def test_classes_without_pictures_are_named_by_number(kind, changed):
    named = changed["class_weights"]["kind"] if changed else kind
    with pytest.raises(InputError, match=rf"{named} needs .* 2 of 4 classes have none \(counted from 0: 1, 3\)"):
        build(kind, torch.tensor([3, 0, 1, 0]), **changed)


def test_many_classes_without_pictures_are_named_in_part():
    with pytest.raises(InputError, match=r"40 of 41 classes have none \(counted from 0: 1, 2, .*, 10, \.\.\.\)$"):
        build("balanced_softmax", torch.tensor([1] + [0] * 40))


@pytest.mark.parametrize("kind", ["cross_entropy", "weighted_cross_entropy", "focal"])
def test_losses_without_priors_take_any_counts(kind):
    assert build(kind, torch.tensor([3, 0, 1, 0, 0]))(*batch(), 0).isfinite()
