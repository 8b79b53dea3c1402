"""Recipes written with paper and pencil, and circles that are refused."""

from examples import example, refused, runs, varied

from pipeline.config.workflow import Workflow


def test_two_stage_training_shares_its_first_stage():
    raw = example(
        classifiers={"second": {"extends": "ce", "init": "diffult", "epochs": 10}},
        recipes={
            "second": {"classifier": "second", "datasets": ["cifar100_lt"], "vary": {"classifier.epochs": [10, 20]}}
        },
    )
    flow = Workflow(raw)
    one, other = (flow.part("classifiers", run.classifier) for run in runs(flow, "second"))
    assert (one.init, one.epochs, other.init, other.epochs) == ("diffult", 10, "diffult", 20)
    assert "init" not in other.settings()


def test_second_stage_follows_what_is_varied_in_the_first():
    raw = example(
        classifiers={"second": {"extends": "ce", "init": "diffult"}},
        recipes={"second": {"classifier": "second", "datasets": ["cifar100_lt"], "vary": {"generator.tau": [2]}}},
    )
    flow = Workflow(raw)
    assert flow.part("classifiers", "second~generator.tau=2").init == "diffult~generator.tau=2"


def two_rounds():
    """Generate, train, generate under that classifier's guidance, train again; all from one generator."""
    raw = example(
        pools={
            "round1": {"extends": "cbdm"},
            "round2": {"extends": "cbdm", "guide": "first", "draw": {"kind": "ddpm", "feedback": {}}, "seed": 1},
        },
        filters={"round1": {"pool": "round1"}, "round2": {"pool": "round2"}},
        classifiers={
            "first": {"data": ["real", "round1"]},
            "second": {"data": ["real", "round1", "round2"], "init": "first"},
        },
    )
    raw["recipes"] = {"feedback": {"classifier": "second", "datasets": ["cifar100_lt"]}}
    return raw


def test_rounds_of_feedback_resolve():
    flow = Workflow(two_rounds())
    assert flow.pools("second", "cifar100_lt") == ["round1", "round2"]
    assert flow.part("pools", "round2").guide == "first"
    assert "guide" not in flow.part("pools", "round2").settings()


def test_rounds_of_feedback_all_follow_their_generator():
    raw = two_rounds()
    raw["recipes"]["feedback"]["vary"] = {"generator.tau": 2}
    flow = Workflow(raw)
    (run,) = flow.runs
    assert flow.pools(run.classifier, "cifar100_lt") == [f"round{i}~generator.tau=2" for i in (1, 2)]
    assert flow.part("pools", "round2~generator.tau=2").guide == "first~generator.tau=2"


def test_first_round_is_shared_when_the_second_varies():
    raw = two_rounds()
    raw["recipes"]["feedback"]["vary"] = {"pools.round2.draw.guidance": [1.6, 3]}
    flow = Workflow(raw)
    assert flow.pools(flow.runs[1].classifier, "cifar100_lt") == ["round1", "round2~draw.guidance=3"]
    assert flow.part("classifiers", flow.runs[1].classifier).init == "first"


def test_growing_pools_reuse_what_is_there():
    raw = example(
        pools={
            "third": {"extends": "cbdm", "fill_range": [0, 0.33]},
            "more": {"extends": "cbdm", "fill_range": [0.33, 1]},
        },
        filters={"third": {"pool": "third"}, "more": {"pool": "more"}},
        classifiers={
            "some": {"extends": "diffult", "data": ["real", "third"]},
            "all": {"extends": "some", "data": ["real", "third", "more"]},
        },
        recipes={name: {"classifier": name, "datasets": ["cifar100_lt"]} for name in ("some", "all")},
    )
    flow = Workflow(raw)
    assert flow.pools("some", "cifar100_lt") == ["third"]
    assert flow.pools("all", "cifar100_lt") == ["third", "more"]
    assert {flow.part("pools", name).generator for name in ("third", "more")} == {"cbdm"}


def test_circular_extends_is_refused():
    raw = example(filters={"a": {"extends": "b"}, "b": {"extends": "a"}})
    assert refused(raw) == "filters.a: extends is circular: a -> b -> a"


def test_scorer_that_is_trained_on_what_it_selects_is_refused():
    message = refused(example(scores={"by_ce": {"scorer": "diffult"}}))
    assert "circular reference" in message
    for name in ("scores.by_ce", "filters.likely", "classifiers.diffult"):
        assert name in message


def test_names_that_vary_makes_run_in_no_circle():
    """Scoring by the classifier that the unvaried filter gave is a second round, and it is derived as one."""
    flow = Workflow(varied({"score.scorer": ["diffult"]}))
    (run,) = runs(flow, "tried")
    assert run.classifier == "diffult~score.scorer=diffult"
    assert flow.part("scores", "by_ce~scorer=diffult").scorer == "diffult"
    assert flow.part("classifiers", "diffult").data == ("real", "likely")
