"""What `vary` derives, and what is shared."""

import pytest
from examples import EXAMPLE, example, names, runs, varied

from pipeline.config.vary import slug
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError


def test_example_of_the_design_resolves():
    flow = Workflow(EXAMPLE)
    assert len(runs(flow, "diffult")) == 2
    assert len(runs(flow, "diffult_tau")) == 6
    assert len(runs(flow, "diffult_filters")) == 4
    run = flow.run("diffult", "cifar100_lt_200")
    assert (run.classifiers, run.seeds, run.main, run.qualities) == (("diffult",) * 3, (0, 1, 2), True, ())


@pytest.mark.parametrize("value", [-1, "often", None])
def test_a_wrong_value_for_the_site_is_told_with_its_key(value):
    with pytest.raises(InputError, match=r"^checkpoint_minutes: Input should be"):
        Workflow({"checkpoint_minutes": value})


def test_varied_part_and_those_after_it_get_names_of_their_own():
    flow = Workflow(EXAMPLE)
    assert flow.part("generators", "cbdm~tau=2").tau == 2
    assert flow.part("pools", "cbdm~generator.tau=2").generator == "cbdm~tau=2"
    assert flow.part("scores", "by_ce~generator.tau=2").pool == "cbdm~generator.tau=2"
    assert flow.part("filters", "likely~generator.tau=2").scores == "by_ce~generator.tau=2"
    assert flow.part("classifiers", "diffult~generator.tau=2").data == ("real", "likely~generator.tau=2")
    assert flow.run("diffult_tau~generator.tau=2", "cifar100_lt").classifier == "diffult~generator.tau=2"


def test_derived_parts_keep_all_other_keys():
    flow = Workflow(EXAMPLE)
    derived, base = flow.part("pools", "cbdm~generator.tau=2"), flow.part("pools", "cbdm")
    assert derived.settings() == base.settings() and derived.shards == 16
    assert flow.part("classifiers", "diffult~generator.tau=2").loss.generated_weight == 0.3


def test_parts_before_the_varied_one_are_shared():
    flow = Workflow(EXAMPLE)
    assert flow.part("scores", "by_ce~generator.tau=2").scorer == "ce"
    assert not any(name.startswith("ce~") for name in flow.parts["classifiers"])


def test_a_derived_name_is_one_that_a_folder_can_have():
    """An end of too many values becomes a digest, which differs if they do."""
    keys = ("learning_rate", "gamma", "warmup_steps", "gradient_clip", "label_dropout", "many_shot_share", "ema_decay")
    vary = {f"generator.{key}": [0.123456789] for key in keys if key != "warmup_steps"}
    flow = Workflow(varied({**vary, "generator.warmup_steps": [11, 12], "pool.shots": [["medium", "few"]]}))
    pools = {pool for run in runs(flow, "tried") for pool in flow.pools(run.classifier, run.dataset)}
    assert {len(pool) for pool in pools} == {200}
    assert {flow.part("generators", flow.part("pools", pool).generator).warmup_steps for pool in pools} == {11, 12}
    assert all(len(name) <= 200 for entries in flow.parts.values() for name in entries)


@pytest.mark.parametrize("value", [1, 1.0])
def test_value_that_a_part_has_already_is_the_same_part(value):
    flow = Workflow(varied({"generator.tau": [value]}))
    assert runs(flow, "tried")[0].classifier == "diffult"
    assert f"cbdm~tau={value}" not in names(flow, "generators")


def test_value_that_is_the_default_of_an_unset_key_is_the_same_part():
    flow = Workflow(varied({"generator.ema_decay": [0.9999, 0.999]}))
    assert [run.classifier for run in runs(flow, "tried")] == ["diffult", "diffult~generator.ema_decay=0.999"]


def test_filters_vary_over_the_same_samples_and_scores():
    raw = example()
    del raw["recipes"]["diffult_tau"]
    flow = Workflow(raw)
    assert names(flow, "pools") == {"cbdm"} and names(flow, "scores") == {"by_ce"}
    assert names(flow, "filters") == {"likely", "likely~keep=all", "likely~keep=d1_le_3500", "likely~keep=d2_le_9"}
    pools = {flow.pools(run.classifier, "cifar100_lt")[0] for run in runs(flow, "diffult_filters")}
    assert pools == {"cbdm"}


def test_two_recipes_with_the_same_variation_share_its_parts():
    raw = varied({"generator.tau": [2]})
    flow = Workflow(raw)
    assert runs(flow, "tried")[0].classifier == flow.run("diffult_tau~generator.tau=2", "cifar100_lt").classifier


def test_recipe_runs_are_named_by_their_alternatives():
    assert [run.recipe for run in runs(Workflow(EXAMPLE), "diffult_filters")] == [
        "diffult_filters~filter.keep=all",
        "diffult_filters~filter.keep=d1_le_3500",
        "diffult_filters~filter.keep=d2_le_9",
        "diffult_filters~filter.keep=d3_ge_5e-7",
    ]


@pytest.mark.parametrize(("value", "by_intent"), [(2, ()), ([2], ("generator.tau",))])
def test_single_value_leaves_no_trace_in_the_recipes_name(value, by_intent):
    """A list is an ablation, even of one value; a bare value is a setting, which tables show as a difference."""
    (run,) = runs(Workflow(varied({"generator.tau": value})), "tried")
    assert (run.recipe, run.classifier, run.varied) == ("tried", "diffult~generator.tau=2", by_intent)


def test_several_keys_make_every_combination():
    vary = {"generator.tau": [0, 2], "classifier.loss.generated_weight": [0.3, 0.5], "pool.draw.guidance": 0}
    flow = Workflow(varied(vary))
    assert [run.recipe for run in runs(flow, "tried")] == [
        "tried~generator.tau=0~classifier.loss.generated_weight=0.3",
        "tried~generator.tau=0~classifier.loss.generated_weight=0.5",
        "tried~generator.tau=2~classifier.loss.generated_weight=0.3",
        "tried~generator.tau=2~classifier.loss.generated_weight=0.5",
    ]
    last = flow.part("classifiers", runs(flow, "tried")[-1].classifier)
    (pool,) = flow.pools(runs(flow, "tried")[-1].classifier, "cifar100_lt")
    assert last.loss.generated_weight == 0.5
    assert flow.part("pools", pool).draw.guidance == 0
    assert flow.part("generators", flow.part("pools", pool).generator).tau == 2


def test_names_list_changes_in_the_order_of_vary():
    vary = {"generator.tau": 2, "pool.draw.guidance": 0, "filter.keep": "all", "classifier.batch_size": 32}
    (run,) = runs(Workflow(varied(vary)), "tried")
    assert run.classifier == "diffult~generator.tau=2~pool.draw.guidance=0~filter.keep=all~batch_size=32"


def test_list_of_lists_varies_a_key_that_holds_a_list():
    flow = Workflow(varied({"pool.shots": [["medium", "few"], ["few"]]}))
    assert flow.part("pools", "cbdm~shots=medium_few").shots == ("medium", "few")
    assert flow.part("pools", "cbdm~shots=few").shots == ("few",)


def test_nested_keys_can_be_varied():
    flow = Workflow(varied({"generator.unet.dropout": [0.0, 0.1]}))
    unet = flow.part("generators", "cbdm~unet.dropout=0.0").unet
    assert unet.dropout == 0 and unet.channels == 128
    assert runs(flow, "tried")[1].classifier == "diffult"


def test_dataset_can_be_varied():
    flow = Workflow(varied({"dataset.imbalance_factor": [100, 50]}, main=True))
    assert [run.dataset for run in runs(flow, "tried")] == ["cifar100_lt", "cifar100_lt~imbalance_factor=50"]
    assert flow.part("datasets", "cifar100_lt~imbalance_factor=50").imbalance_factor == 50
    assert flow.family("cifar100_lt~imbalance_factor=50") == "cifar100_lt"


def test_section_key_means_the_nearest_part_and_not_the_scorer():
    flow = Workflow(varied({"classifier.epochs": [10]}))
    (run,) = runs(flow, "tried")
    assert run.classifier == "diffult~epochs=10"
    assert flow.part("classifiers", run.classifier).data == ("real", "likely")


def test_full_address_reaches_a_part_further_up():
    flow = Workflow(varied({"classifiers.ce.epochs": [10]}))
    (run,) = runs(flow, "tried")
    assert run.classifier == "diffult~classifier.epochs=10"
    assert flow.part("classifiers", run.classifier).epochs == 200
    assert flow.part("scores", "by_ce~classifier.epochs=10").scorer == "ce~epochs=10"


def test_section_key_changes_the_first_part_on_each_way_and_none_beyond():
    raw = example(
        scores={"again": {"pool": "cbdm", "scorer": "diffult"}},
        filters={"again": {"scores": "again", "keep": "d3 >= 0.1"}},
        classifiers={"again": {"extends": "diffult", "data": ["real", "again"]}},
        recipes={"again": {"classifier": "again", "datasets": ["cifar100_lt"], "vary": {"filter.keep": ["d3 >= 0.2"]}}},
    )
    flow = Workflow(raw)
    assert len(runs(flow, "again")) == 1
    assert flow.part("filters", "again~keep=d3_ge_0.2").scores == "again"
    assert flow.part("scores", "again").scorer == "diffult"
    assert "likely~keep=d3_ge_0.2" not in names(flow, "filters")


def test_reference_can_be_varied():
    raw = varied({"score.scorer": ["ce", "small_batch"]})
    raw["classifiers"]["small_batch"] = {"extends": "ce", "batch_size": 64}
    flow = Workflow(raw)
    assert flow.part("scores", "by_ce~scorer=small_batch").scorer == "small_batch"
    assert [run.classifier for run in runs(flow, "tried")] == ["diffult", "diffult~score.scorer=small_batch"]


# a varied reference's new target gets none of the other changes, but the names say it does
def test_reference_and_a_key_of_its_target_can_be_varied_together():
    raw = varied({"pool.generator": ["cbdm", "other"], "generator.tau": [0, 2]})
    raw["generators"]["other"] = {"extends": "cbdm", "gamma": 0.5}
    flow = Workflow(raw)
    found = []
    for run in runs(flow, "tried"):
        generator = flow.part("generators", flow.part("pools", flow.pools(run.classifier, "cifar100_lt")[0]).generator)
        found.append((generator.gamma, generator.tau))
    assert found == [(0.25, 0), (0.25, 2), (0.5, 0), (0.5, 2)]


# `classifier.` reaches f0 too, through the recipe's quality, and with it the filter's scorer
def test_quality_of_a_recipe_does_not_make_its_scorer_the_recipes_classifier():
    raw = varied({"classifier.loss.generated_weight": [0.3, 0.5]}, quality="q")
    raw["qualities"] = {"q": {"pool": "cbdm", "scorer": "ce"}}
    flow = Workflow(raw)
    assert [run.classifier for run in runs(flow, "tried")] == ["diffult", "diffult~loss.generated_weight=0.5"]


def test_quality_follows_what_is_varied_upstream_of_it():
    raw = varied({"generator.tau": [1, 2]}, quality="q")
    raw["qualities"] = {"q": {"pool": "cbdm", "scorer": "ce"}}
    assert [run.qualities for run in runs(Workflow(raw), "tried")] == [("q",), ("q~generator.tau=2",)]


def test_settings_of_a_run_are_those_of_its_own_parts():
    flow = Workflow(varied({"generator.tau": [2]}))
    (run,) = runs(flow, "tried")
    assert flow.setting(run, "generator.tau") == [2]
    assert flow.setting(run, "classifier.epochs") == [200]
    assert flow.setting(run, "generator.unet.channels") == [128]
    assert flow.setting(run, "quality.splits") == []


@pytest.mark.parametrize(
    "value, expected",
    [
        (2, "2"),
        (0.25, "0.25"),
        ("d3 >= 5e-7 and d1 < 3", "d3_ge_5e-7_and_d1_lt_3"),
        (["a", "b"], "a_b"),
        (None, "null"),
        (True, "true"),
    ],
)
def test_values_in_names_are_readable_and_safe_in_paths(value, expected):
    assert slug(value) == expected


def test_long_values_in_names_are_hashed():
    texts = ["d1 <= 3500 and " * 5 + f"d2 <= {bound}" for bound in (1, 2)]
    assert len({slug(text) for text in texts}) == 2 and all(len(slug(text)) == 12 for text in texts)
