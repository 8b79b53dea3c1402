"""The real picture that a row starts from: all of a class take turns, by nothing but the row itself."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_pictures import manifest

from pipeline.artifacts import shards
from pipeline.data.groups import name_hashes
from pipeline.errors import InputError
from pipeline.generators.sources import Sources, strengths
from pipeline.jobs import command
from pipeline.stages import plan

COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def training(counts):
    """A manifest's training pictures, in the order of a shuffled data set."""
    labels = np.repeat(np.arange(len(counts)), counts)
    table = pd.DataFrame({"class": labels, "key": [f"{label}-{place}" for place, label in enumerate(labels)]})
    return table.sample(frac=1, random_state=0)


def of_class(sources, label, indices):
    return sources.of(np.full(len(indices), label, np.int32), np.asarray(indices, np.int32)).tolist()


@given(COUNTS, st.integers(0, 2**32 - 1), st.data())
def test_all_pictures_of_a_class_take_turns(counts, seed, data):
    table = training(counts)
    sources, label = Sources(table, seed), data.draw(st.integers(0, len(counts) - 1))
    own = sorted(table.loc[table["class"] == label, "key"])
    found = of_class(sources, label, range(5 * len(own)))
    rounds = [found[start : start + len(own)] for start in range(0, len(found), len(own))]
    assert all(sorted(one) == own for one in rounds)


@given(COUNTS, st.integers(0, 99), st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=9), st.data())
def test_a_source_depends_on_seed_class_and_index_alone(counts, seed, indices, data):
    label = data.draw(st.integers(0, len(counts) - 1))
    sources = Sources(training(counts), seed)
    expected = of_class(sources, label, indices)
    assert [of_class(sources, label, [index])[0] for index in indices] == expected
    others = data.draw(st.lists(st.tuples(st.integers(0, len(counts) - 1), st.integers(0, 99)), max_size=9))
    labels = np.array([*(other for other, _ in others), *[label] * len(indices)])
    among = sources.of(labels, np.array([*(index for _, index in others), *indices]))
    assert among[len(others) :].tolist() == expected
    alone = training(counts)
    assert of_class(Sources(alone[alone["class"] == label], seed), label, indices) == expected


@given(COUNTS, st.integers(0, 99), st.integers(1, 14), st.data())
def test_some_of_a_class_are_chosen_once_and_take_turns(counts, seed, most, data):
    table = training(counts)
    sources, label = Sources(table, seed, most), data.draw(st.integers(0, len(counts) - 1))
    count = min(most, counts[label])
    found = of_class(sources, label, range(4 * count))
    rounds = [sorted(found[start : start + count]) for start in range(0, len(found), count)]
    assert len(set(map(tuple, rounds))) == 1 and len(set(rounds[0])) == count
    alone = table[table["class"] == label]
    assert of_class(Sources(alone, seed, most), label, range(4 * count)) == found


def test_which_are_chosen_depends_on_the_pool():
    chosen = [of_class(Sources(training([40]), seed, 1), 0, [0])[0] for seed in range(20)]
    assert len(set(chosen)) > 10


def test_the_order_is_another_in_each_round_class_and_pool():
    sources = Sources(training([40, 40]), 0)
    orders = [
        of_class(sources, 0, range(40)),
        of_class(sources, 0, range(40, 80)),
        of_class(Sources(training([40, 40]), 1), 0, range(40)),
    ]
    other = [int(key.split("-")[1]) - 40 for key in of_class(sources, 1, range(40))]
    orders = [[int(key.split("-")[1]) for key in order] for order in orders] + [other]
    assert len(set(map(tuple, orders))) == 4 and list(range(40)) not in orders


def test_sources_and_prompts_that_both_take_turns_are_not_tied_to_each_other():
    """With as many prompts as pictures, a plain turn would give each picture one prompt for ever."""
    found = of_class(Sources(training([4]), 0), 0, range(400))
    assert len({(place % 4, key) for place, key in enumerate(found)}) == 16


def test_strengths_are_spread_evenly_and_depend_on_seed_class_and_index_alone():
    labels, indices = np.repeat([0, 7], 5000), np.tile(np.arange(5000), 2)
    found = strengths(3, labels, indices, None, 0.25, 0.75)
    assert found.min() >= 0.25 and found.max() < 0.75
    assert np.abs(np.histogram(found, 10, (0.25, 0.75))[0] - 1000).max() < 120
    assert np.array_equal(strengths(3, labels[::-1], indices[::-1], None, 0.25, 0.75), found[::-1])
    assert (strengths(4, labels, indices, None, 0.25, 0.75) != found).mean() > 0.99
    assert (strengths(0, labels, indices, None, 0.6, 0.6) == 0.6).all()


def test_sources_are_far_from_seeds_and_strengths():
    sources = Sources(training([1000]), 0)
    order = [int(key.split("-")[1]) for key in of_class(sources, 0, range(1000))]
    drawn = strengths(0, np.zeros(1000, int), np.arange(1000), None, 0, 1)
    assert abs(np.corrcoef(order, drawn)[0, 1]) < 0.1


def planned(folder, monkeypatch, **settings):
    config = {
        "fill_to": None,
        "per_class": 3,
        "fill_range": [0, 1],
        "shots": ["few"],
        "surplus": 0,
        "classes": None,
        "cells": "class",
        "seed": 0,
    } | settings
    output = folder / "plan.parquet"
    words = ["--config", json.dumps(config), "--manifest", folder / "manifest.parquet", "--output", output]
    monkeypatch.setattr(sys, "argv", ["plan", *map(str, words)])
    command.run(plan.main, plan.arguments())
    return shards.read_table(output)


def test_the_plan_has_a_source_and_a_strength_for_each_row(tmp_path, monkeypatch):
    manifest(tmp_path)
    rows = planned(tmp_path, monkeypatch, sources="all", strength=[0.25, 0.5])
    assert list(rows) == ["class", "class_name", "index", "seed", "source", "strength"]
    assert [sorted(set(own["source"])) for _, own in rows.groupby("class")] == [
        ["real0", "real1"],
        ["real2"],
        ["real3"],
    ]
    assert rows["strength"].is_unique and rows["strength"].between(0.25, 0.5).all()
    assert list(planned(tmp_path, monkeypatch, sources="all")) == ["class", "class_name", "index", "seed", "source"]
    assert list(planned(tmp_path, monkeypatch)) == ["class", "class_name", "index", "seed"]


def test_a_class_without_a_real_training_picture_is_refused_in_one_sentence(tmp_path, monkeypatch):
    manifest(tmp_path, labels=(0, 0, 3))
    with pytest.raises(
        SystemExit, match=r"^error: class 1 and 1 more classes has no real training picture to start fro"
    ):
        planned(tmp_path, monkeypatch, sources="all")
    assert len(planned(tmp_path, monkeypatch)) == 12


def test_a_class_that_asks_for_no_pictures_needs_no_source():
    sources = Sources(training([2, 3]), 0)
    sources.require(np.array([1, 1, 0]), np.array(["a", "b", "c"], object))
    with pytest.raises(InputError, match="c has no real training picture to start from; leave such classes out"):
        sources.require(np.array([1, 1, 1]), np.array(["a", "b", "c"], object))


def test_each_group_of_a_class_has_sources_and_strengths_of_its_own():
    sources, indices = Sources(training([40, 5]), 0), np.tile(np.arange(40), 2)
    labels, groups = np.zeros(80, np.int32), name_hashes(["dim"] * 40 + ["rock"] * 40)
    found = sources.of(labels, indices, groups)
    assert sorted(found[:40]) == sorted(found[40:]) == sorted(sources.of(labels[:40], indices[:40]))
    assert (found[:40] != found[40:]).mean() > 0.8
    assert np.array_equal(sources.of(labels[40:], indices[40:], groups[40:]), found[40:])
    drawn = strengths(0, labels, indices, groups, 0, 1)
    assert len(set(drawn)) == 80 and np.array_equal(
        strengths(0, labels[40:], indices[40:], groups[40:], 0, 1), drawn[40:]
    )
