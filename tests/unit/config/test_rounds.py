"""Rounds of feedback: the graph that they make, and what is refused."""

import pytest
from examples import painted, refused

from pipeline.config import reads
from pipeline.config.workflow import Workflow

LED = {
    "pools": {
        "led": {
            "extends": "painted",
            "guide": "ce",
            "guide_seed": 5,
            "draw": {"scheduler": "ddim", "feedback": {"criterion": "entropy"}},
            "fill_to": 400,
        }
    },
    "filters": {"led": {"pool": "led"}},
    "classifiers": {"led": {"extends": "ce", "data": ["real", "led"], "rounds": 3}},
    "recipes": {"led": {"classifier": "led", "datasets": ["cifar100_lt"], "seeds": [0, 2]}},
}


def with_led(**changed):
    sections = {section: {name: dict(keys) for name, keys in entries.items()} for section, entries in LED.items()}
    for section, keys in changed.items():
        sections[section]["led"] |= keys
    return painted(**sections)


def test_each_round_is_led_by_the_classifier_of_those_before():
    flow = Workflow(with_led())
    pools = [flow.part("pools", f"led~led.round={number}") for number in (1, 2, 3)]
    assert [pool.fill_range for pool in pools] == [(0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1)]
    assert [(pool.guide, pool.guide_seed) for pool in pools] == [("ce", 5), ("led~round=1", 0), ("led~round=2", 0)]
    shares = [f"led~led.round={number}" for number in (1, 2, 3)]
    data = [flow.part("classifiers", name).data for name in ("led~round=1", "led~round=2", "led")]
    assert data == [("real", *shares[:count]) for count in (1, 2, 3)]
    (run,) = (run for run in flow.runs if run.recipe == "led")
    needed = flow.needed("cifar100_lt", [run])
    assert set(needed["classifiers"]) == {"led", "led~round=2", "led~round=1", "ce"}
    assert set(needed["pools"]) == set(shares)
    where = {"dataset": "cifar100_lt", "name": shares[1], "shard": "00000"}
    assert reads.inputs(flow, "sample", where)["guide"] == [
        "results/cifar100_lt/classifier/led~round=1/seed-0/weights.safetensors"
    ]


def test_a_recipe_may_vary_the_rounds():
    changed = with_led(recipes={"vary": {"classifier.rounds": [1, 2]}}, classifiers={"rounds": 1})
    flow = Workflow(changed)
    assert flow.part("classifiers", "led").data == ("real", "led")
    assert flow.part("classifiers", "led~rounds=2").data == (
        "real",
        *(f"led~led~rounds=2.round={number}" for number in (1, 2)),
    )


def test_scores_of_a_share_are_its_own():
    raw = with_led(filters={"pool": None, "scores": "near", "keep": "pixel_test <= 0.9"}) | {}
    raw["scores"]["near"] = {"kind": "copies", "pool": "led", "scorer": "ce"}
    flow = Workflow(raw)
    assert flow.part("filters", "led~led.round=2").scores == "near~led.round=2"
    assert flow.part("scores", "near~led.round=2").pool == "led~led.round=2"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"classifiers": {"data": ["real"]}},
            "classifiers.led: rounds draw the pictures of one filter, but data is ['real']",
        ),
        ({"filters": {"first": 3}}, "classifiers.led: rounds would apply the first of led to each share; remove first"),
        (
            {"pools": {"surplus": 0.5}},
            "classifiers.led: rounds share a whole pool; remove the fill_range or surplus of led",
        ),
        (
            {"pools": {"guide": None, "draw": {"feedback": None}}},
            "classifiers.led: rounds need feedback, but led has no guide; give it one",
        ),
        (
            {"filters": {"where": {"cifar100_lt": {"fill_to": 9}}}},
            "classifiers.led: rounds would apply the fill_to of led to each share; remove fill_to",
        ),
        (
            {"pools": {"where": {"cifar100_lt": {"fill_range": [0, 0.5]}}}},
            "classifiers.led: rounds share a whole pool; remove the fill_range or surplus of led",
        ),
        (
            {"classifiers": {"where": {"cifar100_lt": {"rounds": 2}}}},
            "classifiers.led.where.cifar100_lt: 'rounds' must be the same on all data sets",
        ),
        ({"pools": {"guide": "led"}}, "the config has a circular reference"),
    ],
)
def test_what_cannot_be_unrolled_is_refused(changed, told):
    assert told in refused(with_led(**changed))
