"""Precision, recall, density and coverage against plain loops, torch-fidelity, and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_fidelity.metric_prc import calculate_precision_recall_part

from pipeline.evaluation import neighbours
from pipeline.evaluation.neighbours import neighbour_metrics
from pipeline.evaluation.quality import Some


def plainly(real, generated, nearest):
    """The definitions, picture by picture."""

    def radius(one, among):
        return sorted(np.linalg.norm(among - one, axis=1))[nearest]

    real_radii = [radius(one, real) for one in real]
    generated_radii = [radius(one, generated) for one in generated]
    inside = np.array([[np.linalg.norm(a - b) <= r for b, r in zip(real, real_radii, strict=True)] for a in generated])
    recalled = np.array(
        [[np.linalg.norm(a - b) <= r for a, r in zip(generated, generated_radii, strict=True)] for b in real]
    )
    return {
        "precision": inside.any(1).mean(),
        "recall": recalled.any(1).mean(),
        "density": inside.sum(1).mean() / nearest,
        "coverage": inside.any(0).mean(),
    }


def drawn(seed, real=60, generated=45, shift=1.0):
    random = np.random.default_rng(seed)
    return random.normal(size=(real, 4)) + 50, random.normal(shift, 0.7, (generated, 4)) + 50


@pytest.mark.parametrize("nearest", [1, 3, 5])
@pytest.mark.parametrize("block", [7, 1024])
def test_they_are_the_definitions(nearest, block, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    real, generated = drawn(nearest)
    found = neighbour_metrics(torch.from_numpy(real), torch.from_numpy(generated), nearest)
    assert found == pytest.approx(plainly(real, generated, nearest), abs=1e-12)
    assert all(0 < value < 1.5 for value in found.values())
    theirs = calculate_precision_recall_part(torch.from_numpy(generated), torch.from_numpy(real), nearest)
    assert (found["precision"], found["recall"]) == pytest.approx(theirs, abs=1e-6)


def test_features_of_float32_far_from_zero_give_the_same():
    real, generated = (torch.from_numpy(each) for each in drawn(0, 300, 300))
    exact = neighbour_metrics(real, generated, 3)
    far = neighbour_metrics((real + 1000).float(), (generated + 1000).float(), 3)
    assert far == pytest.approx(exact, abs=0.02)


def test_tight_groups_far_from_each_other():
    random = np.random.default_rng(0)
    real, generated = (
        np.float32(random.normal(size=(count, 32)) * 0.01 + 100 * (np.arange(count) % 2)[:, None] - 50)
        for count in (120, 90)
    )
    found = neighbour_metrics(torch.from_numpy(real), torch.from_numpy(generated), 5)
    assert found == pytest.approx(plainly(real.astype(float), generated.astype(float), 5), abs=0.02)


def test_by_hand():
    """Real pictures at 0, 1, 2 and 10 with radii 1, 1, 1 and 8; generated ones at 0.5, 1.5 and 30 with radii 1, 1 and 28.5."""
    real, generated = (torch.tensor(places).double()[:, None] for places in ([0.0, 1, 2, 10], [0.5, 1.5, 30]))
    found = neighbour_metrics(real, generated, 1)
    # 0.5 is in the balls of 0 and 1, 1.5 in those of 1 and 2, 30 in none; 10 is in the ball of 30 alone
    assert found == {"precision": pytest.approx(2 / 3), "recall": 1, "density": pytest.approx(4 / 3), "coverage": 0.75}


@given(st.integers(1, 80), st.one_of(st.none(), st.integers(2, 100)), st.lists(st.integers(1, 20), min_size=1))
def test_a_sample_is_the_same_in_any_blocks(total, size, blocks):
    rows = torch.arange(total)[:, None]
    whole, parts = Some(total, size), Some(total, size)
    whole.update(rows)
    start = 0
    while start < total:
        block = blocks[start % len(blocks)]
        parts.update(rows[start : start + block])
        start += block
    assert torch.equal(whole.rows(), parts.rows())
    assert len(whole.rows().unique()) == min(total, size or total)
