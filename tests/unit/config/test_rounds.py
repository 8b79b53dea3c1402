"""Rounds of feedback: the graph that they make, and what is refused."""

import pytest
from examples import painted, refused

from pipeline.classifiers.rounds import last_epoch, of_all_rounds
from pipeline.config import reads
from pipeline.config.targets import recipe_runs, runs_settings
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
    shares = ["led~share=1.3", "led~led.round=2", "led~led.round=3"]
    pools = [flow.part("pools", share) for share in shares]
    assert [pool.fill_range for pool in pools] == [(0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1)]
    assert [(pool.guide, pool.guide_seed) for pool in pools] == [("ce", 5), ("led~round=1", 0), ("led~round=2", 0)]
    filters = [f"led~led.round={number}" for number in (1, 2, 3)]
    data = [flow.part("classifiers", name).data for name in ("led~round=1", "led~round=2", "led")]
    assert data == [("real", *filters[:count]) for count in (1, 2, 3)]
    (run,) = (run for run in flow.runs if run.recipe == "led")
    needed = flow.needed("cifar100_lt", [run])
    assert set(needed["classifiers"]) == {"led", "led~round=2", "led~round=1", "ce"}
    assert set(needed["pools"]) == set(shares)
    where = {"dataset": "cifar100_lt", "name": shares[1], "shard": "00000"}
    assert reads.inputs(flow, "sample", where)["guide"] == [
        "results/cifar100_lt/classifier/led~round=1/seed-0/weights.safetensors"
    ]
    feedback = runs_settings(flow, recipe_runs(flow, "led", "cifar100_lt"))["feedback"]
    assert {one["pool"]: (one["guide"], one["criterion"], one["mode"]) for one in feedback} == {
        name: (pool.guide, "entropy", "exact") for name, pool in zip(shares, pools, strict=True)
    }


def test_long_names_of_rounds_are_names_of_folders():
    raw = practice(rounds=2, epochs=70)
    raw["recipes"]["led"] = {"datasets": ["cifar100_lt"]}
    raw["classifiers"]["l" * 100] = raw["classifiers"].pop("led")
    raw["filters"]["f" * 100] = raw["filters"].pop("led")
    raw["classifiers"]["l" * 100]["data"] = ["real", "f" * 100]
    raw["recipes"]["led"]["classifier"] = "l" * 100
    flow = Workflow(raw)
    names = [name for entries in flow.parts.values() for name in entries]
    assert max(map(len, names)) <= 200 and any(name.startswith("f" * 100 + "~" + "l" * 80) for name in names)
    needed = flow.needed("cifar100_lt", [run for run in flow.runs if run.recipe == "led"])
    assert len(needed["filters"]) == len(needed["classifiers"]) - 1 == 2


def test_a_quality_of_pictures_that_no_classifier_has_seen_is_refused():
    raw = with_led(recipes={"quality": "made"})
    raw["qualities"] = {"made": {"pool": "led", "scorer": "ce"}}
    assert "recipes.led: the quality made would be that of led, of which rounds draw each share" in refused(raw)
    raw = practice()
    raw["qualities"] = {"made": {"pool": "led", "scorer": "ce"}}
    raw["recipes"]["led"]["quality"] = "made"
    Workflow(raw)


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


def practice(**changed):
    """Deliberate Practice: of three times the pictures asked, the most uncertain are kept, and one training goes on."""
    raw = with_led(
        pools={"guide": None, "draw": {"feedback": None}, "surplus": 2.0},
        filters={"pool": None, "scores": "unsure", "highest": "entropy"},
        classifiers={"one_training": True, "epochs": 20} | changed,
    )
    raw["scores"]["unsure"] = {
        "kind": "classifier",
        "pool": "led",
        "scorer": "ce",
        "scorer_seed": 5,
        "metrics": ["entropy"],
    }
    return raw


def test_each_round_of_one_training_is_judged_and_continued():
    flow = Workflow(practice())
    names = ["led~round=1", "led~round=2", "led"]
    filters = [flow.part("filters", f"led~led.round={number}") for number in (1, 2, 3)]
    assert [each.scores for each in filters] == ["unsure", "unsure~led.round=2", "unsure~led.round=3"]
    assert [each.fill_range for each in filters] == [(0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1)]
    judged = [flow.part("scores", each.scores) for each in filters]
    assert {by.pool for by in judged} == {"led"}
    assert [(by.scorer, by.scorer_seed) for by in judged] == [("ce", 5), ("led~round=1", 0), ("led~round=2", 0)]
    parts = [flow.part("classifiers", name) for name in names]
    assert [part.continues for part in parts] == [None, "led~round=1", "led~round=2"]
    assert [part.settings()["round"] for part in parts] == [[1, 3], [2, 3], [3, 3]]
    assert [part.work()["epochs"] for part in parts] == [7, 7, 6]
    where = {"dataset": "cifar100_lt", "name": "led", "seed": "2"}
    assert reads.inputs(flow, "classifier", where)["continues"] == [
        "results/cifar100_lt/classifier/led~round=2/seed-2/history.parquet"
    ]


def test_pictures_that_no_classifier_leads_are_drawn_once():
    """For rounds, for other rounds, and for all at once."""
    raw = practice()
    raw["classifiers"]["again"] = {"extends": "led", "rounds": 2}
    raw["classifiers"]["at_once"] = {"extends": "led", "rounds": 1, "one_training": False}
    raw["recipes"]["led"] = {"classifiers": ["led", "again", "at_once"], "datasets": ["cifar100_lt"]}
    flow = Workflow(raw)
    needed = flow.needed("cifar100_lt", [run for run in flow.runs if run.classifier in ("led", "again", "at_once")])
    assert set(needed["pools"]) == {"led"}
    assert set(needed["scores"]) == {"unsure", "unsure~led.round=2", "unsure~led.round=3", "unsure~again.round=2"}


def test_a_scorer_that_does_not_lead_stays():
    """The guide leads. A filter by another classifier, as DiffuLT's, judges all rounds alike."""
    raw = with_led(filters={"pool": None, "scores": "near"})
    raw["scores"]["near"] = {"kind": "classifier", "pool": "led", "scorer": "ce", "scorer_seed": 5}
    raw["classifiers"]["other"] = {"extends": "ce", "epochs": 7}
    assert Workflow(raw).part("scores", "near~led.round=2").scorer == "led~round=1"
    raw["scores"]["near"]["where"] = {"cifar100_lt": {"scorer_seed": 3}}
    judged = [Workflow(raw).part("scores", f"near~led.round={r}", "cifar100_lt").scorer_seed for r in (1, 2)]
    assert judged == [3, 0]
    raw["scores"]["near"]["scorer"] = "other"
    assert Workflow(raw).part("scores", "near~led.round=2").scorer == "other"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"rounds": 30},
            "one_training is of several rounds, each with an epoch or more, but rounds is 30 and epochs 20",
        ),
        ({"search": "some"}, "one_training has the same keys in all rounds, but search would choose for each"),
        (
            {"scheme": "tau_norm", "extends": None, "init": "ce", "norm_tau": 1.0},
            "tau_norm trains nothing, so no round could go on with it",
        ),
        (
            {"where": {"cifar100_lt": {"epochs": 2, "warmup_epochs": 0}}},
            "epochs is 2, too few for 3 rounds; give each an epoch, or set fewer rounds",
        ),
        ({"where": {"cifar100_lt": {"round": [1, 3]}}}, "'round' must be the same on all data sets"),
        ({"continues": "ce"}, "classifiers.led: continues is set by one_training; remove it"),
    ],
)
def test_what_cannot_be_one_training_is_refused(changed, told):
    assert told in refused(practice(**changed))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"classifiers": {"data": ["real"]}},
            "classifiers.led: rounds draw the pictures of one filter, but data is ['real']",
        ),
        ({"filters": {"first": 3}}, "classifiers.led: rounds would apply the first of led to each share; remove first"),
        (
            {"pools": {"guide": None, "draw": {"feedback": None}}},
            "classifiers.led: rounds need a classifier that leads, but the pool led has no guide, and the filter led no scores",
        ),
        (
            {"filters": {"where": {"cifar100_lt": {"fill_to": 9}}}},
            "classifiers.led: rounds would apply the fill_to of led to each share; remove fill_to",
        ),
        (
            {"filters": {"fill_range": [0, 0.5]}},
            "classifiers.led: rounds share a whole pool; remove the fill_range of led",
        ),
        (
            {"pools": {"where": {"cifar100_lt": {"fill_range": [0, 0.5]}}}},
            "classifiers.led: rounds share a whole pool; remove the fill_range of led",
        ),
        (
            {"classifiers": {"where": {"cifar100_lt": {"rounds": 2}}}},
            "classifiers.led.where.cifar100_lt: 'rounds' must be the same on all data sets",
        ),
        ({"pools": {"guide": "led"}}, "the config has a circular reference"),
        (
            {"pools": {"fill_to": None, "per_class": 2}},
            "classifiers.led: 3 rounds would share 2 pictures of each class; raise per_class of led",
        ),
    ],
)
def test_what_cannot_be_unrolled_is_refused(changed, told):
    assert told in refused(with_led(**changed))


@pytest.mark.parametrize("epochs", [3, 4, 20, 150])
def test_rounds_of_one_training_share_its_epochs_and_are_as_long(epochs):
    ends = [last_epoch(epochs, (number, 3)) for number in (1, 2, 3)]
    assert ends[-1] == epochs == last_epoch(epochs, None)
    each = [ends[0], ends[1] - ends[0], ends[2] - ends[1]]
    assert min(each) >= 1 and max(each) - min(each) <= 1
    assert [of_all_rounds(pictures, (number, 3)) for number, pictures in ((1, 7), (2, 13), (3, 20))] == [21, 20, 20]
    assert of_all_rounds(20, None) == 20


def test_pools_of_the_same_noise_with_different_guides_have_different_pictures():
    raw = with_led(classifiers={"rounds": 1, "data": ["real", "led", "other"]})
    raw["classifiers"]["longer"] = {"extends": "ce", "epochs": 300}
    raw["filters"]["other"] = {"pool": "other"}
    raw["pools"]["other"] = {"extends": "led", "guide": "longer"}
    Workflow(raw)
    raw["pools"]["other"] = {"extends": "led"}
    assert "the pools led and other have the same pictures" in refused(raw)
