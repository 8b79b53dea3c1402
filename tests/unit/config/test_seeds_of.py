"""Seeds of pools and generators beside those of the classifier."""

import pytest
from examples import EXAMPLE, example, names, refused, runs

from pipeline.config.reads import inputs
from pipeline.config.targets import family_targets, results_of
from pipeline.config.workflow import Workflow


def seeded(**keys):
    """The example with one more recipe, `tried`, of two seeds."""
    recipe = {"classifier": "diffult", "datasets": ["cifar100_lt"], "quality": "q", "seeds": [0, 1], "main": True}
    raw = example(qualities={"q": {"pool": "cbdm", "scorer": "ce"}}, recipes={"tried": recipe | keys})
    raw["recipes"]["diffult"]["main"] = False
    return raw


def test_by_default_all_seeds_have_one_pool():
    (run,) = runs(Workflow(seeded()), "tried")
    assert (run.classifiers, run.qualities, run.seeds_of) == (("diffult", "diffult"), ("q",), ("classifier",))
    assert Workflow(EXAMPLE).run("diffult", "cifar100_lt").seeds_of == ("classifier",)


def test_each_seed_has_a_pool_of_its_own_and_the_first_has_todays():
    flow = Workflow(seeded(seeds_of=["classifier", "pool"]))
    (run,) = runs(flow, "tried")
    assert run.classifiers == ("diffult", "diffult~pool.seed=1") and run.qualities == ("q", "q~pool.seed=1")
    assert flow.part("pools", "cbdm~seed=1").seed == 1 and flow.part("pools", "cbdm~seed=1").generator == "cbdm"
    assert names(flow, "generators") == {"cbdm", *(f"cbdm~tau={tau}" for tau in (0, 2, 3, 4, 5))}


def test_each_seed_has_a_generator_of_its_own():
    flow = Workflow(seeded(seeds_of=["classifier", "pool", "generator"]))
    (run,) = runs(flow, "tried")
    assert run.classifiers == ("diffult", "diffult~pool.seed=1~generator.seed=1")
    pool = flow.part("pools", "cbdm~seed=1~generator.seed=1")
    assert (pool.seed, pool.generator) == (1, "cbdm~seed=1") and flow.part("generators", "cbdm~seed=1").seed == 1
    job = {"dataset": "cifar100_lt", "name": run.classifiers[1], "seed": "1"}
    assert inputs(flow, "classifier", job)["selected"] == [
        "results/cifar100_lt/select/likely~pool.seed=1~generator.seed=1/selected.parquet"
    ]
    found = results_of(run)
    assert found["seeds_of"] == "classifier, pool, generator"
    assert [path.split("/")[3:5] for path in found["metrics"]] == [
        ["diffult", "seed-0"],
        ["diffult~pool.seed=1~generator.seed=1", "seed-1"],
    ]
    assert found["qualities"] == [
        f"results/cifar100_lt/quality/q{more}/quality.json" for more in ("", "~pool.seed=1~generator.seed=1")
    ]
    assert family_targets(flow, "cifar100_lt") == [
        "results/cifar100_lt/grid/cbdm.png",
        "results/cifar100_lt/grid/cbdm~seed=1~generator.seed=1.png",
        "results/cifar100_lt/summary.md",
    ]


def test_seeds_of_go_with_vary():
    flow = Workflow(seeded(seeds_of=["classifier", "generator"], vary={"generator.tau": [1, 2]}))
    assert [run.classifiers for run in runs(flow, "tried")] == [
        ("diffult", "diffult~generator.seed=1"),
        ("diffult~generator.tau=2", "diffult~generator.tau=2~generator.seed=1"),
    ]
    assert flow.part("generators", "cbdm~tau=2~seed=1").tau == 2


def _of_several():
    raw = seeded(seeds_of=["classifier", "pool"], classifiers=["ce", "again"], quality=None)
    del raw["recipes"]["tried"]["classifier"]
    raw["classifiers"]["again"] = {"extends": "diffult"}
    return raw


def test_a_classifier_without_generated_pictures_has_seeds_of_its_own_alone():
    flow = Workflow(_of_several())
    found = {run.recipe: (run.classifiers, run.seeds_of) for run in flow.runs}
    assert found["ce"] == (("ce", "ce"), ("classifier",))
    assert found["again"] == (("again", "again~pool.seed=1"), ("classifier", "pool"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seeds_of": ["pool"]}, "it must have classifier, and each name once"),
        ({"seeds_of": ["classifier", "classifier"]}, "it must have classifier, and each name once"),
        ({"seeds_of": ["classifier", "filter"]}, "recipes.tried.seeds_of"),
        (
            {"classifier": "ce"},
            "seeds_of names pool, but nothing that its classifiers use is a pool with a seed; remove it",
        ),
        ({"vary": {"pool.seed": [3]}}, "vary has 'pool.seed', which seeds_of sets for each seed; remove one of them"),
        ({"vary": {"pools.cbdm.seed": 3}}, "vary has 'pools.cbdm.seed', which seeds_of sets for each seed"),
    ],
)
def test_seeds_that_cannot_be_given_are_told(keys, message):
    assert message in refused(seeded(**{"seeds_of": ["classifier", "pool"]} | keys))


def two_pools(*seeds_of):
    raw = seeded(classifier="both", seeds_of=seeds_of, quality=None)
    raw["pools"]["more"] = {"generator": "cbdm", "fill_to": "max", "seed": 5}
    raw["filters"]["more"] = {"pool": "more"}
    raw["classifiers"]["both"] = {"extends": "diffult", "data": ["real", "likely", "more"]}
    return raw


def test_pools_that_differ_in_their_seed_are_not_made_alike():
    message = refused(two_pools("classifier", "pool"))
    assert message == (
        "recipes.tried: seeds_of gives every pool the same seed, but they have different ones (cbdm has 0, more has 5); "
        "remove pool from seeds_of"
    )
    (run,) = runs(Workflow(two_pools("classifier", "generator")), "tried")
    assert run.classifiers == ("both", "both~generator.seed=1")
