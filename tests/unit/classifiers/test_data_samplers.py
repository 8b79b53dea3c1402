"""Samplers: what is exact is checked exactly, the rest by its distribution."""

import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classifiers.input.data_samplers import STREAMS, order
from pipeline.errors import InputError
from pipeline.seeds import epoch_order

SAMPLER = {"in_a_row": 4, "power": 1.0, "beta": 0.99}  # of all kinds; each reads its own
KINDS = ("instance", *STREAMS)
COUNTS = {0: 200, 2: 50, 3: 7, 6: 1}  # no picture has label 1, 4 or 5
DRAWS = 40_000


def union(counts=COUNTS, seed=0):
    """Shuffled labels with so many pictures each, and every third one generated."""
    labels = np.repeat(list(counts), list(counts.values()))
    np.random.default_rng(seed).shuffle(labels)
    return torch.from_numpy(labels), torch.arange(len(labels)) % 3 == 0


def drawn(kind, length=DRAWS, seed=0, epoch=0, data=None, batch_size=8, epochs=11, **changed):
    labels, generated = data or union()
    settings = {"batch_size": batch_size, "epochs": epochs}
    return order(SAMPLER | {"kind": kind} | changed, labels, generated, length, seed, epoch, settings)


def rounds_of_permutations(positions, pool):
    """Whether `positions` run through all of `pool` again and again, the last time perhaps in part."""
    pool = sorted(pool)
    whole, rest = divmod(len(positions), len(pool))
    rounds = [sorted(positions[start : start + len(pool)]) for start in range(0, whole * len(pool), len(pool))]
    last = positions[len(positions) - rest :]
    return all(found == pool for found in rounds) and len(set(last)) == rest and set(last) <= set(pool)


# All kinds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 7, 258, 259, 1000])
def test_an_order_has_the_length_asked_for(kind, length):
    positions = drawn(kind, length)
    assert positions.dtype == torch.int64
    assert positions.shape == (length,)
    assert set(positions.tolist()) <= set(range(258))


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_depends_on_seed_and_epoch_alone(kind):
    torch.manual_seed(1)
    one = drawn(kind, 300, seed=3, epoch=4)
    torch.manual_seed(2)
    assert torch.equal(one, drawn(kind, 300, seed=3, epoch=4))
    assert not torch.equal(one, drawn(kind, 300, seed=3, epoch=5))
    assert not torch.equal(one, drawn(kind, 300, seed=4, epoch=4))


def test_kinds_do_not_share_their_randomness():
    uniform = {"power": 0.0, "beta": 0.0}
    assert not torch.equal(drawn("power", 300, **uniform), drawn("effective_number", 300, **uniform))
    assert len({*STREAMS.values()}) == len(STREAMS)


@pytest.mark.parametrize("kind", KINDS)
def test_large_unions_take_seconds(kind):
    labels = (torch.rand(2_500_000, generator=torch.Generator().manual_seed(0)) ** 4 * 1000).long()
    generated = torch.arange(2_500_000) % 20 != 0
    start = time.perf_counter()
    positions = order(SAMPLER | {"kind": kind}, labels, generated, len(labels), 0, 3, {"batch_size": 512, "epochs": 11})
    assert time.perf_counter() - start < 10
    assert len(positions) == 2_500_000


# Permutations


@pytest.mark.parametrize("length", [100, 258, 259, 700])
@pytest.mark.parametrize("epoch", [0, 3])
def test_instance_is_epoch_orders_one_after_the_other(length, epoch):
    rounds = (length + 257) // 258
    expected = []
    for number in range(epoch * rounds, (epoch + 1) * rounds):
        expected += epoch_order(258, 5, number).tolist()
    assert drawn("instance", length, seed=5, epoch=epoch).tolist() == expected[:length]


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    draws=st.integers(1, 5),
    length=st.integers(1, 100),
    epochs=st.integers(1, 4),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_class_aware_goes_in_cycles_through_classes_and_their_pictures(counts, draws, length, epochs, seed):
    """Across epochs, each of which is drawn by itself."""
    labels, generated = union({3 * label: count for label, count in enumerate(counts)}, seed)
    sampler = {"kind": "class_aware", "in_a_row": draws}
    orders = [order(sampler, labels, generated, length, seed, epoch, {}) for epoch in reversed(range(epochs))]
    positions = torch.cat(orders[::-1]).tolist()
    found = labels[positions].tolist()
    turns = [found[start] for start in range(0, len(found), draws)]
    assert found == [label for label in turns for _ in range(draws)][: len(found)]
    assert rounds_of_permutations(turns, set(labels.tolist()))
    for label in set(found):
        members = (labels == label).nonzero().flatten().tolist()
        assert rounds_of_permutations([position for position in positions if labels[position] == label], members)


def test_ten_epochs_of_crt_on_imagenet_lt_see_what_the_reference_sees():
    """115,846 pictures and 1,000 classes give a class 1,158 places: 91 % of the largest class, of 1,280 pictures."""
    labels, generated = union({0: 1280} | {label: 114 + (label <= 680) for label in range(1, 1000)})
    assert len(labels) == 115_846
    seen = torch.cat([drawn("class_aware", len(labels), epoch=epoch, data=(labels, generated)) for epoch in range(10)])
    of_largest = seen[labels[seen] == 0]
    assert len(of_largest) == pytest.approx(1158, abs=4)
    assert len(of_largest.unique()) == len(of_largest)
    assert len(of_largest.unique()) / 1280 == pytest.approx(0.905, abs=0.003)


def test_class_aware_gives_each_class_the_same_number_in_whole_cycles():
    labels, _ = union()
    assert set(Counter(labels[drawn("class_aware", 4 * 4 * 25)].tolist()).values()) == {100}


def test_class_aware_shuffles_every_cycle():
    labels, _ = union()
    turns = labels[drawn("class_aware", 4 * 4 * 200)][::4].view(200, 4)
    assert len({tuple(cycle) for cycle in turns.tolist()}) == 24
    for place in range(4):
        assert all(25 < number < 80 for number in Counter(turns[:, place].tolist()).values())


@pytest.mark.parametrize("batch_size", [2, 7, 8, 64])
@pytest.mark.parametrize("length", [1, 100, 258, 1001])
def test_half_real_halves_every_batch_and_odd_ones_have_one_more_real_picture(batch_size, length):
    _, generated = union()
    positions = drawn("half_real", length, batch_size=batch_size)
    for rows in positions.split(batch_size):
        assert generated[rows].sum() == len(rows) // 2
        assert generated[rows].tolist() == [place % 2 == 1 for place in range(len(rows))]
    for pool in (generated, ~generated):
        inside = pool[positions]
        assert rounds_of_permutations(positions[inside].tolist(), pool.nonzero().flatten().tolist())


@pytest.mark.parametrize(("made", "text"), [(False, "258 real and 0 generated"), (True, "0 real and 258 generated")])
def test_half_real_needs_both(made, text):
    labels, _ = union()
    with pytest.raises(InputError, match=text):
        drawn("half_real", data=(labels, torch.full((258,), made)))


# With replacement


def assert_shares(positions, labels, shares):
    """Classes are drawn with these shares, and pictures of a class alike: within five standard deviations."""
    assert sum(shares.values()) == pytest.approx(1)
    times = np.bincount(positions.numpy(), minlength=len(labels))
    for label, share in shares.items():
        inside = times[(labels == label).numpy()]
        for number, expected in [(inside.sum(), share), *((one, share / len(inside)) for one in inside)]:
            bound = 5 * np.sqrt(DRAWS * expected * (1 - expected))
            assert abs(number - DRAWS * expected) <= bound + 1e-9, label


def normalised(weights):
    return {label: weight / sum(weights.values()) for label, weight in weights.items()}


@pytest.mark.parametrize("power", [0.0, 0.2, 0.5, 1.0, 2.0])
def test_power_weighs_a_picture_by_a_power_of_its_classs_count(power):
    labels, _ = union()
    shares = normalised({label: sum(n**-power for _ in range(n)) for label, n in COUNTS.items()})
    assert_shares(drawn("power", power=power), labels, shares)


def test_power_one_draws_classes_alike_and_a_half_by_their_square_root():
    labels, _ = union()
    assert_shares(drawn("power", power=1.0), labels, dict.fromkeys(COUNTS, 0.25))
    roots = {label: np.sqrt(n) for label, n in COUNTS.items()}
    assert_shares(drawn("power", power=0.5), labels, normalised(roots))


@pytest.mark.parametrize("epoch", [0, 3, 10])
def test_progressive_moves_from_all_pictures_alike_to_all_classes_alike(epoch):
    labels, _ = union()
    shares = {label: (1 - epoch / 10) * n / 258 + epoch / 10 / 4 for label, n in COUNTS.items()}
    assert_shares(drawn("progressive", epoch=epoch), labels, shares)


def test_a_single_epoch_of_progressive_draws_all_pictures_alike():
    labels, _ = union()
    assert_shares(drawn("progressive", epochs=1), labels, normalised(COUNTS))


def test_effective_number_weighs_a_picture_by_the_geometric_series_of_its_class():
    labels, _ = union()
    shares = normalised({label: n / sum(0.99**term for term in range(n)) for label, n in COUNTS.items()})
    assert_shares(drawn("effective_number"), labels, shares)


@pytest.mark.parametrize("kind", ["class_aware", "power", "progressive", "effective_number"])
def test_generated_pictures_count_like_real_ones(kind):
    labels, generated = union()
    one = drawn(kind, 500, epoch=2)
    assert torch.equal(one, drawn(kind, 500, epoch=2, data=(labels, ~generated)))


def test_a_power_sampler_by_groups_draws_these_alike_and_needs_some():
    labels, generated = union()
    groups = torch.where(torch.arange(len(labels)) < 10, 1, 0)
    groups[-3:] = -1
    sampler = SAMPLER | {"kind": "power", "power": 1.0, "by": "group"}
    positions = order(sampler, labels, generated, DRAWS, 0, 0, {"batch_size": 8, "epochs": 11}, groups)
    shares = torch.bincount(groups[positions] + 1) / DRAWS
    assert (shares - 1 / 3).abs().max() < 0.05
    with pytest.raises(InputError, match="counts groups, but no training picture has one; set by: class"):
        order(sampler, labels, generated, DRAWS, 0, 0, {"batch_size": 8, "epochs": 11}, torch.full_like(labels, -1))
