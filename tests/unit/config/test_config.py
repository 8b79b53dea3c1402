"""The config: derived names and what they share, recipes written with paper and pencil, and bad input."""

import copy
import json
import subprocess
import sys
from typing import ClassVar

import pytest
import yaml
from workflow_helpers import REPOSITORY

from pipeline.config.duplicates import refuse_duplicates
from pipeline.config.pools import Samples
from pipeline.config.resolve import SCHEMA, deep_merge
from pipeline.config.vary import slug
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError

EXAMPLE = {  # the design's, in the words of our schema
    "datasets": {
        "cifar100_lt": {"source": "cifar100", "imbalance_factor": 100},
        "cifar100_lt_200": {"extends": "cifar100_lt", "imbalance_factor": 200},
    },
    "generators": {"cbdm": {"kind": "cbdm", "tau": 1.0, "gamma": 0.25}},
    "samples": {"cbdm": {"generator": "cbdm", "fill_to": "max", "shards": 16}},
    "scores": {"by_ce": {"samples": "cbdm", "by": "ce", "metrics": ["d1", "d2", "d3"]}},
    "filters": {"likely": {"scores": "by_ce", "keep": "d3 >= 5e-7"}},
    "classifiers": {
        "ce": {"data": ["real"], "loss": "cross_entropy"},
        "diffult": {"data": ["real", "likely"], "loss": "weighted_cross_entropy", "generated_weight": 0.3},
    },
    "recipes": {
        "diffult": {
            "classifier": "diffult",
            "datasets": ["cifar100_lt", "cifar100_lt_200"],
            "seeds": [0, 1, 2],
            "main": True,
        },
        "diffult_tau": {
            "extends": "diffult",
            "datasets": ["cifar100_lt"],
            "main": False,
            "vary": {"generator.tau": [0, 1, 2, 3, 4, 5]},
        },
        "diffult_filters": {
            "extends": "diffult",
            "datasets": ["cifar100_lt"],
            "main": False,
            "vary": {"filter.keep": ["all", "d1 <= 3500", "d2 <= 9", "d3 >= 5e-7"]},
        },
    },
}


def example(**sections):
    """The example with more entries, or with keys of its entries changed."""
    return deep_merge(copy.deepcopy(EXAMPLE), sections)


def varied(vary, **recipe):
    """The example with one more recipe, `tried`, that varies."""
    return example(recipes={"tried": {"classifier": "diffult", "datasets": ["cifar100_lt"], "vary": vary, **recipe}})


def runs(flow, recipe):
    return [run for run in flow.runs if run.recipe.split("~")[0] == recipe]


def refused(raw, schema=SCHEMA):
    """The message that a bad config gives: one line, of one sentence."""
    with pytest.raises(InputError) as caught:
        Workflow(raw, schema)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith(".")
    return message


def names(flow, section):
    return set(flow.parts[section])


# What vary derives, and what is shared


def test_example_of_the_design_resolves():
    flow = Workflow(EXAMPLE)
    assert len(runs(flow, "diffult")) == 2
    assert len(runs(flow, "diffult_tau")) == 6
    assert len(runs(flow, "diffult_filters")) == 4
    run = flow.run("diffult", "cifar100_lt_200")
    assert (run.classifier, run.seeds, run.main, run.quality) == ("diffult", (0, 1, 2), True, None)


@pytest.mark.parametrize("value", [-1, "often", None])
def test_a_wrong_value_for_the_site_is_told_with_its_key(value):
    with pytest.raises(InputError, match=r"^checkpoint_minutes: Input should be"):
        Workflow({"checkpoint_minutes": value})


def test_config_of_the_repository_resolves():
    raw = yaml.safe_load((REPOSITORY / "workflow_config.yaml").read_text())
    flow = Workflow(raw)
    assert {"demo", "cifar10_lt", "cifar100_lt"} <= set(flow.families())
    assert (flow.site.data_root, flow.site.checkpoint_minutes) == (None, 10)
    everything = [part.settings() for entries in flow.parts.values() for part in entries.values()]
    assert json.loads(json.dumps(everything)) == everything


def test_varied_part_and_those_after_it_get_names_of_their_own():
    flow = Workflow(EXAMPLE)
    assert flow.part("generators", "cbdm~tau=2").tau == 2
    assert flow.part("samples", "cbdm~generator.tau=2").generator == "cbdm~tau=2"
    assert flow.part("scores", "by_ce~generator.tau=2").samples == "cbdm~generator.tau=2"
    assert flow.part("filters", "likely~generator.tau=2").scores == "by_ce~generator.tau=2"
    assert flow.part("classifiers", "diffult~generator.tau=2").data == ("real", "likely~generator.tau=2")
    assert flow.run("diffult_tau~generator.tau=2", "cifar100_lt").classifier == "diffult~generator.tau=2"


def test_derived_parts_keep_all_other_keys():
    flow = Workflow(EXAMPLE)
    derived, base = flow.part("samples", "cbdm~generator.tau=2"), flow.part("samples", "cbdm")
    assert derived.settings() == base.settings() and derived.shards == 16
    assert flow.part("classifiers", "diffult~generator.tau=2").generated_weight == 0.3


def test_parts_before_the_varied_one_are_shared():
    flow = Workflow(EXAMPLE)
    assert flow.part("scores", "by_ce~generator.tau=2").by == "ce"
    assert not any(name.startswith("ce~") for name in flow.parts["classifiers"])


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
    assert names(flow, "samples") == {"cbdm"} and names(flow, "scores") == {"by_ce"}
    assert names(flow, "filters") == {"likely", "likely~keep=all", "likely~keep=d1_le_3500", "likely~keep=d2_le_9"}
    pools = {flow.pools(run.classifier)[0][1] for run in runs(flow, "diffult_filters")}
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
    vary = {"generator.tau": [0, 2], "classifier.generated_weight": [0.3, 0.5], "sample.guidance": 0}
    flow = Workflow(varied(vary))
    assert [run.recipe for run in runs(flow, "tried")] == [
        "tried~generator.tau=0~classifier.generated_weight=0.3",
        "tried~generator.tau=0~classifier.generated_weight=0.5",
        "tried~generator.tau=2~classifier.generated_weight=0.3",
        "tried~generator.tau=2~classifier.generated_weight=0.5",
    ]
    last = flow.part("classifiers", runs(flow, "tried")[-1].classifier)
    (pool,) = [flow.samples_of(name) for name in last.data if name != "real"]
    assert last.generated_weight == 0.5
    assert flow.part("samples", pool).guidance == 0
    assert flow.part("generators", flow.part("samples", pool).generator).tau == 2


def test_names_list_changes_in_the_order_of_vary():
    vary = {"generator.tau": 2, "sample.guidance": 0, "filter.keep": "all", "classifier.batch_size": 32}
    (run,) = runs(Workflow(varied(vary)), "tried")
    assert run.classifier == "diffult~generator.tau=2~sample.guidance=0~filter.keep=all~batch_size=32"


def test_list_of_lists_varies_a_key_that_holds_a_list():
    flow = Workflow(varied({"sample.shots": [["medium", "few"], ["few"]]}))
    assert flow.part("samples", "cbdm~shots=medium_few").shots == ("medium", "few")
    assert flow.part("samples", "cbdm~shots=few").shots == ("few",)


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
    assert flow.part("scores", "by_ce~classifier.epochs=10").by == "ce~epochs=10"


def test_section_key_changes_the_first_part_on_each_way_and_none_beyond():
    raw = example(
        scores={"again": {"samples": "cbdm", "by": "diffult"}},
        filters={"again": {"scores": "again", "keep": "d3 >= 0.1"}},
        classifiers={"again": {"extends": "diffult", "data": ["real", "again"]}},
        recipes={"again": {"classifier": "again", "datasets": ["cifar100_lt"], "vary": {"filter.keep": ["d3 >= 0.2"]}}},
    )
    flow = Workflow(raw)
    assert len(runs(flow, "again")) == 1
    assert flow.part("filters", "again~keep=d3_ge_0.2").scores == "again"
    assert flow.part("scores", "again").by == "diffult"
    assert "likely~keep=d3_ge_0.2" not in names(flow, "filters")


def test_reference_can_be_varied():
    raw = varied({"score.by": ["ce", "small_batch"]})
    raw["classifiers"]["small_batch"] = {"extends": "ce", "batch_size": 64}
    flow = Workflow(raw)
    assert flow.part("scores", "by_ce~by=small_batch").by == "small_batch"
    assert [run.classifier for run in runs(flow, "tried")] == ["diffult", "diffult~score.by=small_batch"]


# a varied reference's new target gets none of the other changes, but the names say it does
def test_reference_and_a_key_of_its_target_can_be_varied_together():
    raw = varied({"sample.generator": ["cbdm", "other"], "generator.tau": [0, 2]})
    raw["generators"]["other"] = {"extends": "cbdm", "gamma": 0.5}
    flow = Workflow(raw)
    found = []
    for run in runs(flow, "tried"):
        generator = flow.part("generators", flow.part("samples", flow.pools(run.classifier)[0][1]).generator)
        found.append((generator.gamma, generator.tau))
    assert found == [(0.25, 0), (0.25, 2), (0.5, 0), (0.5, 2)]


# `classifier.` reaches f0 too, through the recipe's quality, and with it the filter's scorer
def test_quality_of_a_recipe_does_not_make_its_scorer_the_recipes_classifier():
    raw = varied({"classifier.generated_weight": [0.3, 0.5]}, quality="q")
    raw["qualities"] = {"q": {"samples": "cbdm", "by": "ce"}}
    flow = Workflow(raw)
    assert [run.classifier for run in runs(flow, "tried")] == ["diffult", "diffult~generated_weight=0.5"]


def test_quality_follows_what_is_varied_upstream_of_it():
    raw = varied({"generator.tau": [1, 2]}, quality="q")
    raw["qualities"] = {"q": {"samples": "cbdm", "by": "ce"}}
    assert [run.quality for run in runs(Workflow(raw), "tried")] == ["q", "q~generator.tau=2"]


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


# extends, families


def test_extends_merges_chains_and_nested_mappings():
    raw = example(
        generators={
            "quick": {"extends": "cbdm", "unet": {"channels": 32, "multipliers": [1, 2], "attention_levels": [1]}},
            "quicker": {"extends": "quick", "unet": {"blocks": 1}, "steps": 7},
        }
    )
    quicker = Workflow(raw).part("generators", "quicker")
    merged = {"channels": 32, "multipliers": (1, 2), "blocks": 1, "attention_levels": (1,), "dropout": 0.1}
    assert quicker.unet.model_dump().items() >= merged.items()
    assert (quicker.steps, quicker.gamma) == (7, 0.25)


def test_extends_can_point_to_a_later_entry():
    raw = example(filters={"a": {"extends": "b"}, "b": {"samples": "cbdm"}})
    assert Workflow(raw).part("filters", "a").samples == "cbdm"


def test_extends_replaces_lists_and_vary_as_a_whole():
    raw = varied({"filter.keep": ["all"]}, extends="diffult_tau")
    flow = Workflow(raw)
    assert len(runs(flow, "tried")) == 1
    assert "generator.tau" not in runs(flow, "tried")[0].varied


def test_family_is_the_root_of_extends_unless_said():
    raw = example(
        datasets={
            "third": {"extends": "cifar100_lt_200", "imbalance_factor": 50},
            "apart": {"extends": "cifar100_lt", "family": "quick"},
            "below": {"extends": "apart"},
        },
        recipes={"diffult": {"datasets": ["cifar100_lt", "cifar100_lt_200", "third", "apart", "below"]}},
    )
    families = Workflow(raw).families()
    assert {family: [run.dataset for run in found] for family, found in families.items()} == {
        "cifar100_lt": ["cifar100_lt", "cifar100_lt_200", "third"],
        "quick": ["apart", "below"],
    }


def test_only_main_recipes_are_in_families():
    recipes = {run.recipe for found in Workflow(EXAMPLE).families().values() for run in found}
    assert recipes == {"diffult"}


# What stages read


def test_settings_hold_every_key_but_references():
    flow = Workflow(EXAMPLE)
    assert "generator" not in flow.part("samples", "cbdm").settings()
    settings = flow.part("classifiers", "diffult").settings()
    assert not {"data", "init", "steps_as"} & set(settings)
    assert settings["real"] is True and settings["generated_weight"] == 0.3
    assert flow.part("scores", "by_ce").settings() == {"metrics": ["d1", "d2", "d3"]}
    assert flow.part("filters", "likely").settings() == {"keep": [["d3", ">=", 5e-7]], "first": None}
    assert set(flow.part("generators", "cbdm").settings()) == set(SCHEMA["generators"][1]["cbdm"].model_fields)


def test_family_of_a_data_set_is_no_setting_of_its_subset():
    assert "family" not in Workflow(EXAMPLE).part("datasets", "cifar100_lt").settings()


def test_plan_and_sampling_read_separate_keys():
    samples = Workflow(EXAMPLE).part("samples", "cbdm")
    assert set(samples.plan_settings()) == {"fill_to", "per_class", "fill_range", "shots", "seed"}
    assert set(samples.sampling_settings()) == {
        "sampler",
        "steps",
        "guidance",
        "clip_denoised",
        "batch_size",
        "store",
    }


def test_derived_parts_differ_in_settings_by_the_varied_key_alone():
    flow = Workflow(EXAMPLE)
    one, other = (flow.part("generators", name).settings() for name in ("cbdm", "cbdm~tau=2"))
    assert {key for key in one if one[key] != other[key]} == {"tau"}


def test_reading_the_config_imports_nothing_heavy():
    code = "import sys, pipeline.config.workflow; print(*sorted(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    heavy = {"torch", "numpy", "pandas", "diffusers", "torchvision", "sklearn", "pyarrow", "PIL"}
    assert "pydantic" in done.stdout.split() and not heavy & set(done.stdout.split())


# Recipes with paper and pencil


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


class GuidedSamples(Samples):
    """Feedback-guided pools as a later method would declare them."""

    guide: str | None = None
    references: ClassVar[dict[str, str]] = {"generator": "generators", "guide": "classifiers"}


def two_rounds():
    """Generate, train, generate under that classifier's guidance, train again; all from one generator."""
    raw = example(
        samples={"round1": {"extends": "cbdm"}, "round2": {"extends": "cbdm", "guide": "first", "seed": 1}},
        filters={"round1": {"samples": "round1"}, "round2": {"samples": "round2"}},
        classifiers={
            "first": {"data": ["real", "round1"]},
            "second": {"data": ["real", "round1", "round2"], "init": "first"},
        },
    )
    raw["recipes"] = {"feedback": {"classifier": "second", "datasets": ["cifar100_lt"]}}
    return raw, {**SCHEMA, "samples": GuidedSamples}


def test_rounds_of_feedback_resolve():
    flow = Workflow(*two_rounds())
    assert flow.pools("second") == [("round1", "round1"), ("round2", "round2")]
    assert flow.part("samples", "round2").guide == "first"
    assert "guide" not in flow.part("samples", "round2").settings()


def test_rounds_of_feedback_all_follow_their_generator():
    raw, schema = two_rounds()
    raw["recipes"]["feedback"]["vary"] = {"generator.tau": 2}
    flow = Workflow(raw, schema)
    (run,) = flow.runs
    assert flow.pools(run.classifier) == [(f"round{i}~generator.tau=2",) * 2 for i in (1, 2)]
    assert flow.part("samples", "round2~generator.tau=2").guide == "first~generator.tau=2"


def test_first_round_is_shared_when_the_second_varies():
    raw, schema = two_rounds()
    raw["recipes"]["feedback"]["vary"] = {"samples.round2.guidance": [1.6, 3]}
    flow = Workflow(raw, schema)
    assert flow.pools(flow.runs[1].classifier) == [
        ("round1", "round1"),
        ("round2~sample.guidance=3", "round2~guidance=3"),
    ]
    assert flow.part("classifiers", flow.runs[1].classifier).init == "first"


def test_growing_pools_reuse_what_is_there():
    raw = example(
        samples={
            "third": {"extends": "cbdm", "fill_range": [0, 0.33]},
            "more": {"extends": "cbdm", "fill_range": [0.33, 1]},
        },
        filters={"third": {"samples": "third"}, "more": {"samples": "more"}},
        classifiers={
            "some": {"extends": "diffult", "data": ["real", "third"]},
            "all": {"extends": "some", "data": ["real", "third", "more"]},
        },
        recipes={name: {"classifier": name, "datasets": ["cifar100_lt"]} for name in ("some", "all")},
    )
    flow = Workflow(raw)
    assert flow.pools("some") == [("third", "third")]
    assert flow.pools("all") == [("third", "third"), ("more", "more")]
    assert {flow.part("samples", name).generator for name in ("third", "more")} == {"cbdm"}


# Circles


def test_circular_extends_is_refused():
    raw = example(filters={"a": {"extends": "b"}, "b": {"extends": "a"}})
    assert refused(raw) == "filters.a: extends runs in a circle: a -> b -> a"


def test_scorer_that_is_trained_on_what_it_selects_is_refused():
    message = refused(example(scores={"by_ce": {"by": "diffult"}}))
    assert "form a circle" in message
    for name in ("scores.by_ce", "filters.likely", "classifiers.diffult"):
        assert name in message


def test_names_that_vary_makes_run_in_no_circle():
    """Scoring by the classifier that the unvaried filter gave is a second round, and it is derived as one."""
    flow = Workflow(varied({"score.by": ["diffult"]}))
    (run,) = runs(flow, "tried")
    assert run.classifier == "diffult~score.by=diffult"
    assert flow.part("scores", "by_ce~by=diffult").by == "diffult"
    assert flow.part("classifiers", "diffult").data == ("real", "likely")


# Bad input: one sentence that names the entry, its key and what is allowed

BAD = {
    "unknown section": (example(sample={}), "unknown section 'sample'", "did you mean 'samples'?", "classifiers"),
    "unknown key": (
        example(generators={"cbdm": {"gama": 1}}),
        "generators.cbdm: unknown key 'gama'",
        "did you mean 'gamma'?",
        "allowed: batch_size",
    ),
    "unknown source": (
        example(datasets={"cifar100_lt": {"source": "cifar"}}),
        "datasets.cifar100_lt: unknown source 'cifar'",
        "allowed: digits, cifar10, cifar100",
    ),
    "missing kind": (example(generators={"new": {"tau": 1}}), "generators.new: 'kind' is missing", "one of cbdm"),
    "missing key": (example(samples={"new": {"fill_to": "max"}}), "samples.new.generator: Field required"),
    "misspelt reference": (
        example(samples={"cbdm": {"generator": "cdbm"}}),
        "samples.cbdm: unknown generator 'cdbm'",
        "did you mean 'cbdm'?",
        "allowed: cbdm",
    ),
    "misspelt data": (
        example(classifiers={"diffult": {"data": ["real", "likly"]}}),
        "classifiers.diffult: unknown data 'likly'",
        "did you mean 'likely'?",
    ),
    "dangling extends": (
        example(datasets={"cifar100_lt_200": {"extends": "cifar10_lt"}}),
        "datasets.cifar100_lt_200: unknown extends 'cifar10_lt'",
        "did you mean 'cifar100_lt'?",
    ),
    "imbalance factor below 1": (
        example(datasets={"cifar100_lt": {"imbalance_factor": 0.5}}),
        "datasets.cifar100_lt.imbalance_factor",
        "greater than or equal to 1",
        "0.5",
    ),
    "larger class than there is": (
        example(datasets={"cifar100_lt": {"largest_class": 600}}),
        "datasets.cifar100_lt: largest_class is 600",
        "cifar100 has 500",
    ),
    "own pictures without a folder": (
        example(datasets={"birds": {"source": "image_folder"}}),
        "datasets.birds.path: Field required",
    ),
    "longer tail than there are pictures": (
        example(datasets={"cifar100_lt": {"imbalance_factor": 501}}),
        "datasets.cifar100_lt: imbalance_factor is 501; with 500 pictures in the largest class",
    ),
    "longer tail of own pictures than there are": (
        example(datasets={"b": {"source": "image_folder", "path": "b", "largest_class": 9, "imbalance_factor": 10}}),
        "datasets.b: imbalance_factor is 10; with 9 pictures in the largest class",
    ),
    "long tail of own pictures without its factor": (
        example(datasets={"birds": {"source": "image_folder", "path": "birds", "largest_class": 10}}),
        "datasets.birds: largest_class is for a long tail; give imbalance_factor too",
    ),
    "imbalance factor of a data set with lists": (
        example(datasets={"big": {"source": "imagenet", "imbalance_factor": 100}}),
        "datasets.big: unknown key 'imbalance_factor'",
        "most_rejected",
    ),
    "share of rejected pictures above 1": (
        example(datasets={"cifar100_lt": {"most_rejected": 1.5}}),
        "datasets.cifar100_lt.most_rejected",
        "less than 1",
    ),
    "side that the U-Net cannot halve": (
        example(generators={"cbdm": {"side": 28}}),
        "generators.cbdm: side is 28; with 4 levels it must be a multiple of 8",
    ),
    "negative threshold": (
        example(filters={"likely": {"keep": "d1 <= -1"}}),
        "filters.likely.keep: keep is 'd1 <= -1'",
        "must not be negative",
    ),
    "probability above 1": (example(filters={"likely": {"keep": "d3 >= 1.5"}}), "filters.likely.keep", "lie in 0..1"),
    "metric that is not scored": (
        example(scores={"by_ce": {"metrics": ["d1", "d2"]}}),
        "filters.likely: keep is 'd3 >= 5e-7'",
        "scores.by_ce has d1, d2 only",
    ),
    "keep that is no expression": (
        example(filters={"likely": {"keep": "the likely ones"}}),
        "filters.likely.keep: keep is 'the likely ones'",
        "write 'all' or conditions like",
    ),
    "condition on bare samples": (
        example(filters={"bare": {"samples": "cbdm", "keep": "d3 >= 0.5"}}),
        "filters.bare: keep is 'd3 >= 0.5', which needs scores",
    ),
    "filter of both": (
        example(filters={"likely": {"samples": "cbdm"}}),
        "filters.likely: exactly one of samples and scores",
    ),
    "both fill_to and per_class": (
        example(samples={"cbdm": {"per_class": 5}}),
        "samples.cbdm: exactly one of fill_to and per_class",
    ),
    "neither fill_to nor per_class": (
        example(samples={"cbdm": {"fill_to": None}}),
        "samples.cbdm: exactly one of fill_to and per_class",
    ),
    "fill_to of nothing": (example(samples={"cbdm": {"fill_to": 0}}), "samples.cbdm.fill_to: it is 0", "at least 1"),
    "fill_range backwards": (
        example(samples={"cbdm": {"fill_range": [0.6, 0.3]}}),
        "samples.cbdm: fill_range is [0.6, 0.3]",
        "0 <= from < to <= 1",
    ),
    "steps that do not divide": (
        example(samples={"cbdm": {"steps": 300}}),
        "samples.cbdm: steps is 300",
        "must divide the generator's 1000 timesteps",
    ),
    "weight with cross-entropy": (
        example(classifiers={"ce": {"generated_weight": 0.3}}),
        "classifiers.ce: generated_weight is 0.3, which is read only with loss: weighted_cross_entropy",
    ),
    "weight above 1": (example(classifiers={"diffult": {"generated_weight": 1.5}}), "diffult.generated_weight", "1.5"),
    "wrong type": (example(classifiers={"ce": {"epochs": "many"}}), "classifiers.ce.epochs", "integer", "'many'"),
    "name for a list": (
        example(classifiers={"ce": {"data": "real"}}),
        "classifiers.ce.data: it must be a list",
        "'real'",
    ),
    "misspelt real": (
        example(classifiers={"ce": {"data": ["reel"]}}),
        "classifiers.ce: unknown data 'reel' (did you mean 'real'?); allowed: real, likely",
    ),
    "augmentation without its kind": (
        example(classifiers={"ce": {"augment": [{"padding": 2}]}}),
        "classifiers.ce.augment.0: 'kind' is missing",
    ),
    "not a number": (example(generators={"cbdm": {"tau": float("nan")}}), "generators.cbdm.tau", "nan"),
    "attention nowhere": (
        example(generators={"cbdm": {"unet": {"attention_levels": [4]}}}),
        "generators.cbdm.unet: attention_levels is [4]; 4 multipliers make levels of 0 to 3",
    ),
    "unequal decay": (
        example(classifiers={"ce": {"decay_at": [0.5]}}),
        "classifiers.ce: decay_at has 1 values and decay_to 2",
    ),
    "control with generated data": (
        example(classifiers={"diffult": {"steps_as": ["likely"]}}),
        "classifiers.diffult: steps_as names filters",
        "data: [real]",
    ),
    "seeds twice": (example(recipes={"diffult": {"seeds": [1, 1]}}), "recipes.diffult.seeds", "must be distinct"),
    "quality by a tainted classifier": (
        example(qualities={"q": {"samples": "cbdm", "by": "diffult"}}),
        "qualities.q: by is 'diffult', but diffult saw generated pictures",
        "data: [real]",
    ),
    "quality by a classifier that starts from a tainted one": (
        example(
            classifiers={"later": {"data": ["real"], "init": "diffult"}},
            qualities={"q": {"samples": "cbdm", "by": "later"}},
        ),
        "qualities.q: by is 'later', but diffult saw generated pictures",
    ),
    "quality without an extractor": (example(qualities={"q": {"samples": "cbdm"}}), "qualities.q: exactly one of by"),
    "entry that is no mapping": (example(datasets={"new": 3}), "datasets.new: must be a mapping", "is 3"),
    "section that is no mapping": ({"datasets": ["demo"]}, "datasets: must be a mapping", "['demo']"),
    "bad name": (example(filters={"my filter": {}}), "filters: 'my filter' is not a valid name", "lower-case letters"),
    "number for a name": (example(datasets={2018: {"source": "digits"}}), "datasets: '2018' is not a valid name"),
    "real for a classifier": (example(recipes={"diffult": {"classifier": "real"}}), "unknown classifier 'real'"),
    "real for a data set": (example(recipes={"diffult": {"datasets": ["real"]}}), "unknown datasets 'real'"),
    "no shots": (example(samples={"cbdm": {"shots": []}}), "samples.cbdm.shots", "at least 1"),
    "quality of png": (
        example(samples={"cbdm": {"store": {"quality": 50}}}),
        "samples.cbdm.store: quality is 50, which is read only with format: jpeg or format: webp",
    ),
    "a pool twice": (
        example(filters={"whole": {"samples": "cbdm"}}, classifiers={"diffult": {"data": ["real", "likely", "whole"]}}),
        "classifiers.diffult: data names likely and whole, which choose from one pool, cbdm",
    ),
    "pictures twice": (
        example(
            samples={"more": {"generator": "cbdm", "per_class": 20}},
            filters={"whole": {"samples": "more"}},
            classifiers={"diffult": {"data": ["real", "likely", "whole"]}},
        ),
        "classifiers.diffult: data names likely and whole, but the pools cbdm and more hold the same pictures; give one",
    ),
    "vary nowhere upstream": (
        varied({"filter.keep": ["all"]}, classifier="ce"),
        "recipes.tried: vary: 'filter.keep'",
        "nothing upstream of the recipe is in filters",
    ),
    "vary a part that is not upstream": (
        example(
            classifiers={"other": {"data": ["real"]}},
            recipes={"diffult": {"vary": {"classifiers.other.epochs": [1]}}},
        ),
        "recipes.diffult: vary: 'classifiers.other.epochs': classifiers.other is not upstream",
        "there are ce, diffult",
    ),
    "vary a whole part": (varied({"classifier": ["ce"]}), "recipes.tried: vary: 'classifier'", "write section.key"),
    "vary a whole part by its name": (varied({"classifiers.diffult": [3]}), "vary: 'classifiers.diffult'", "write sec"),
    "vary a list's values without a list of them": (
        varied({"classifier.std": [0.2, 0.2, 0.2]}),
        "classifiers.diffult (varied by recipes.tried).std: it must be a list, and in a recipe's vary",
    ),
    "vary no address": (varied({"tau": [1]}), "recipes.tried: vary: 'tau'", "write section.key (dataset, generator"),
    "vary an unknown key": (
        varied({"generator.taus": [1]}),
        "generators.cbdm (varied by recipes.tried): unknown key 'taus'",
        "did you mean 'tau'?",
    ),
    "vary to a bad value": (varied({"generator.tau": [-1]}), "generators.cbdm (varied by recipes.tried).tau", "-1"),
    "vary to an unknown name": (
        varied({"score.by": ["cee"]}),
        "scores.by_ce (varied by recipes.tried): unknown by 'cee'",
        "did you mean 'ce'?",
    ),
    "vary to what does not fit": (
        varied({"sample.steps": [7]}),
        "samples.cbdm~steps=7: steps is 7",
        "1000 timesteps",
    ),
    "colliding names": (
        varied({"filter.keep": ["d1 <= 35", "d1<=35"]}),
        "recipes.tried: two different parts would both be called filters.likely~keep=d1_le_35",
    ),
    # a nested mapping's unknown key is pydantic's "Extra inputs are not permitted"
    "unknown nested key": (
        example(generators={"cbdm": {"unet": {"chanels": 32}}}),
        "generators.cbdm.unet",
        "'chanels'",
        "did you mean 'channels'?",
    ),
    # sorting keys of different types is a TypeError
    "number for a key": (example(generators={"cbdm": {1: 32, "x": 3}}), "generators.cbdm: unknown key '1'"),
    # float()'s own words
    "threshold that is no number": (
        example(filters={"likely": {"keep": "d3 >= 1.2.3"}}),
        "filters.likely.keep: keep is 'd3 >= 1.2.3'",
        "write 'all' or conditions like",
    ),
    # the first of a union's errors, "samples.cbdm.fill_to.literal['max']: Input should be 'max'"
    "fill_to of a fraction": (example(samples={"cbdm": {"fill_to": 2.5}}), "samples.cbdm.fill_to: ", "max", "number"),
    # such a filter is taken and can never be named, for `real` means the real pictures
    "filter called real": (example(filters={"real": {"samples": "cbdm"}}), "filters: 'real'"),
    # seeds have no upper end, and NumPy refuses these with a traceback hours later
    "selection seed that NumPy refuses": (
        example(datasets={"cifar100_lt": {"selection_seed": 2**32}}),
        "datasets.cifar100_lt.selection_seed",
        str(2**32 - 1),
    ),
    "recipe's seed that torch refuses": (
        example(recipes={"diffult": {"seeds": [2**64]}}),
        "recipes.diffult.seeds",
        str(2**32 - 1),
    ),
    "betas of another schedule": (
        example(generators={"cbdm": {"schedule": "cosine", "beta_end": 0.01}}),
        "generators.cbdm: beta_end is 0.01, which is read only with schedule: linear",
    ),
    "generator seed that NumPy refuses": (
        example(generators={"cbdm": {"seed": 2**32}}),
        "generators.cbdm.seed",
        str(2**32 - 1),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case):
    raw, *parts = BAD[case]
    message = refused(raw)
    for part in parts:
        assert part in message


def test_unknown_run_is_answered_with_those_there_are():
    with pytest.raises(InputError, match="no recipe 'ce' runs on cifar100_lt; there are diffult, diffult_filters~"):
        Workflow(EXAMPLE).run("ce", "cifar100_lt")


# a list where the key that chooses the type is expected is a TypeError
def test_list_for_the_source_is_refused():
    assert "datasets.cifar100_lt" in refused(example(datasets={"cifar100_lt": {"source": ["cifar100"]}}))


def test_vary_may_choose_a_scheme_and_its_keys():
    flow = Workflow(varied({"classifier.scheme": "mixup", "classifier.mixing_alpha": [0.2, 1.0]}, classifier="ce"))
    alphas = [flow.part("classifiers", run.classifier).mixing_alpha for run in runs(flow, "tried")]
    assert alphas == [0.2, 1.0]


def test_a_key_that_stands_twice_in_a_file_is_told_with_its_lines(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &same {x: 1, y: [{z: 1}, {z: 2}]}\nb: {<<: *same, x: 2}\nc: *same\n")
    refuse_duplicates(path)
    for text, line, first in (
        ("a: 1\nb: 2\na: 1\n", 3, 1),
        ("a:\n- {b: 1,\n  b: 2}\n", 3, 2),
        ("a: {1: 2, 1: 3}\n", 1, 1),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"config.yaml, line {line}: '\w' stands in line {first} already"):
            refuse_duplicates(path)
    path.write_text("")
    refuse_duplicates(path)


# the same for the name of an entry
def test_list_for_extends_is_refused():
    assert "datasets.cifar100_lt_200" in refused(example(datasets={"cifar100_lt_200": {"extends": ["cifar100_lt"]}}))


# a recipe without alternatives vanishes without a word
def test_empty_list_of_alternatives_is_refused():
    assert "recipes.tried" in refused(varied({"generator.tau": []}))


# an address in the recipe itself is taken and does nothing
def test_vary_cannot_address_the_recipe_itself():
    assert "recipes.tried.seeds" in refused(varied({"recipes.tried.seeds": [[1], [2]]}))


# one of two values with the same slug is the base part, so only the runs' names collide
def test_two_runs_of_one_name_are_refused():
    assert "recipes.tried" in refused(varied({"filter.keep": ["d3 >= 5e-7", "d3>=5e-7"]}))


# Classifiers


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"backbone": "resnet32", "width": 64}, "width is 64, but resnet32 has 16; resnet32x4 is the wide ResNet-32"),
        ({"pretrained": "w.pth"}, "pretrained weights are torchvision's, which has none of resnet32"),
        ({"pretrained": "w.pth", "backbone": "resnet50", "init": "f0"}, "init and pretrained both say"),
        ({"data": ["real", "real"]}, "each must be named once"),
        ({"warmup_epochs": 7, "epochs": 7}, "warmup_epochs is 7; it must be less than epochs, 7"),
        ({"batch_size": 8, "gpus": 8}, "batch_size is 8; with 8 GPUs it must be at least 16"),
        ({"generated_weight": 0.3}, "generated_weight is 0.3, which is read only with loss: weighted_cross_entropy"),
        ({"loss": "balanced_softmax", "class_weights": "effective_number"}, "read only with loss: cross_entropy or"),
        ({"loss": "ldam", "class_weights_from": 0.8}, "class_weights_from is 0.8, which is read only with class_wei"),
        ({"scheme": "cutmix", "sampler_power": 2}, "read only with sampler: power or patch_sampler: power"),
        ({"schedule": "cosine", "decay_to": [0.1, 0.01]}, "decay_to is [0.1, 0.01], which is read only with schedule"),
        ({"optimizer": "adamw", "nesterov": True}, "nesterov is True, which is read only with optimizer: sgd"),
        (
            {"prior_from": "all"},
            "prior_from is all, but neither loss, class_weights nor scheme asks for the classes' sizes",
        ),
        ({"nesterov": True, "momentum": 0}, "nesterov needs a momentum above 0"),
        ({"loss": "weighted_cross_entropy", "generated_weight": 0.3}, "generated pictures beside real ones"),
        ({"decay_at": [0.9, 0.8]}, "the first must rise and the second fall"),
        ({"decay_to": [0.1, 0.1]}, "the first must rise and the second fall"),
        ({"frozen_batch_norm": True}, "frozen_batch_norm keeps the statistics of init or pretrained; name one"),
        ({"mean": [125, 123, 113]}, "mean.0: Input should be less than or equal to 1"),
        ({"scheme": "mixup", "sampler": "half_real", "data": ["real", "whole"]}, "mix real pictures with real ones"),
        ({"data": ["whole"], "loss": "ldam"}, "loss: ldam needs the classes' sizes, and data has no real pictures"),
        ({"data": ["whole"], "scheme": "glmc"}, "scheme: glmc needs the classes' sizes"),
        (
            {"scheme": "crt", "init": "f0", "std": [0.2, 0.2, 0.2]},
            "init names f0, whose std is (0.2023, 0.1994, 0.201)",
        ),
        ({"scheme": "tau_norm", "init": "f0", "side": 16}, "init names f0, whose side is None and not 16; both must"),
        ({"sampler": "half_real"}, "the sampler half_real needs real and generated pictures"),
        ({"scheme": "sau", "augment_2": [], "augment_3": []}, "sau trains on real and generated pictures"),
        ({"scheme": "crt"}, "a second stage starts from a first: init must name its classifier"),
        ({"scheme": "lws", "init": "f0", "loss": "ldam"}, "a second stage has a linear head, and ldam a cosine one"),
        ({"scheme": "tau_norm"}, "tau_norm changes a first stage's head"),
        (
            {"init": "wide"},
            "init names wide, whose backbone is resnet32x4 and not resnet32; both must have the same (in a recipe's vary, "
            "the first stage's is classifiers.wide.backbone)",
        ),
        ({"scheme": "lws", "init": "margin"}, "init names margin, which has a cosine head and not a linear one"),
        (
            {"augment": [{"kind": "crop", "pading": 3}]},
            "classifiers.new.augment.0.crop: unknown key 'pading' (did you mean",
        ),
        ({"scheme": "mixup", "mixing_alpha": 0}, "mixing_alpha: Input should be greater than 0"),
        ({"std": [0, 1, 1]}, "std.0: Input should be greater than 0"),
    ],
)
def test_a_classifier_that_cannot_work_is_told(keys, message):
    first = {"f0": {"data": ["real"]}, "wide": {"data": ["real"], "backbone": "resnet32x4"}}
    first["margin"] = {"data": ["real"], "loss": "ldam"}
    pool = {
        "generators": {"g": {"kind": "cbdm"}},
        "samples": {"s": {"generator": "g", "per_class": 1}},
        "filters": {"whole": {"samples": "s"}},
    }
    told = refused(pool | {"classifiers": first | {"new": {"data": ["real"], **keys}}})
    assert message in told and "classifiers.new" in told


def test_crt_takes_any_first_stages_backbone():
    first = {"margin": {"data": ["real"], "loss": "ldam"}}
    second = {"scheme": "crt", "data": ["real"], "init": "margin"}
    assert Workflow({"classifiers": first | {"new": second}}).part("classifiers", "new").settings()["head"] == "linear"


def test_a_second_stage_with_features_of_its_own_may_look_at_pictures_otherwise():
    first = {"f0": {"data": ["real"]}}
    Workflow({"classifiers": first | {"new": {"data": ["real"], "init": "f0", "side": 16}}})


# What does not fit a data set, told before anything is made of it


def on(source, classifiers, **sections):
    """A recipe of the last of `classifiers` on a data set of that source, with CBDM's pictures of it to be had."""
    sources = {
        "cifar100": {"source": "cifar100", "imbalance_factor": 100},
        "imagenet": {"source": "imagenet"},
        "own": {"source": "image_folder", "path": "birds"},
    }
    return deep_merge(
        {
            "datasets": {"pictures": sources[source]},
            "generators": {"g": {"kind": "cbdm"}},
            "samples": {"s": {"generator": "g", "fill_to": "max"}},
            "scores": {"by_f0": {"samples": "s", "by": "f0"}},
            "filters": {"all": {"samples": "s"}, "likely": {"scores": "by_f0"}},
            "classifiers": {"f0": {"data": ["real"]}, **classifiers},
            "recipes": {"tried": {"classifier": list(classifiers)[-1], "datasets": ["pictures"]}},
        },
        sections,
    )


TAU, SAU = {"scheme": "tau_norm", "data": ["real"], "init": "f0"}, {"scheme": "sau", "data": ["real", "all"]}
BOTH = {"data": ["real", "all"]}
AT_64 = {"generators": {"g": {"side": 64}}}
UNFIT = {
    "no validation split": (on("cifar100", {"c": TAU}), "classifiers.c on pictures: tau_norm chooses its power on"),
    "more neighbours than classes": (
        on("cifar100", {"c": SAU | {"augment_2": [], "augment_3": [], "neighbours": 101}}),
        "classifiers.c on pictures: neighbours is 101; it must be at most the number of classes, 100",
    ),
    "cutout of whole pictures": (
        on("cifar100", {"c": {"data": ["real"], "augment": [{"kind": "cutout", "size": 32}]}}),
        "classifiers.c on pictures: cutout of size 32 would black out pictures of 32 px; it must be less",
    ),
    "cutout of whole pictures in SAU's second view": (
        on("cifar100", {"f0": {"data": ["real"]}, "c": SAU | {"augment_2": ["cutout"], "augment_3": []}},
           datasets={"pictures": {"store_side": 16}}),
        "classifiers.c on pictures: cutout of size 16 would black out pictures of 16 px",
    ),
    "pictures of many sizes": (
        on("imagenet", {"c": {"data": ["real"]}}),
        "classifiers.c on pictures: its pictures have sizes of their own; give side, in pixels",
    ),
    "generator of many sizes": (
        on("imagenet", {"c": BOTH | {"side": 64}}),
        "generators.g on pictures: its pictures have sizes of their own; give side",
    ),
    "generated pictures of another size": (
        on("cifar100", {"c": BOTH}, **AT_64),
        "classifiers.c on pictures: it looks at pictures as they are, but those of s are 64 px and real ones 32 px; give",
    ),
    "pictures stored at another size": (
        on("cifar100", {"c": BOTH}, samples={"s": {"store": {"side": 16}}}),
        "those of s are 16 px and real ones 32 px",
    ),
    "own pictures of unknown size": (on("own", {"c": BOTH}, **AT_64), "those of s are 64 px and real ones as they are"),
    "f0 that looks at another size": (
        on("own", {"c": {"data": ["real", "likely"], "side": 64}}, **AT_64),
        "scores.by_f0 on pictures: f0 looks at pictures as they are, but those of s are 64 px",
    ),
    "quality by such a one": (
        on("own", {"c": BOTH | {"side": 64}}, **AT_64, qualities={"q": {"samples": "s", "by": "f0"}},
           recipes={"tried": {"quality": "q"}}),
        "qualities.q on pictures: f0 looks at pictures as they are",
    ),
    "side that the U-Net cannot halve": (
        on("cifar100", {"c": BOTH}, datasets={"pictures": {"store_side": 20}}),
        "generators.g on pictures: side is 20; with 4 levels it must be a multiple of 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_a_data_set_is_told(case):
    raw, message = UNFIT[case]
    assert message in refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        on("imagenet", {"f0": {"data": ["real"], "side": 224}, "c": TAU | {"side": 224}}),
        on("cifar100", {"c": TAU | {"norm_tau": 0.5}}),
        on("own", {"c": TAU}),
        on("own", {"c": BOTH}),
        on("own", {"f0": {"data": ["real"], "side": 64}, "c": {"data": ["real", "likely"], "side": 64}}, **AT_64),
        on("cifar100", {"c": BOTH}, generators={"g": {"side": 32}}),
        on(
            "cifar100",
            {"c": {"data": ["real", "all", "more"]}},
            filters={"more": {"samples": "t"}},
            samples={"t": {"generator": "g", "fill_to": "max", "seed": 1}},
        ),
        on(
            "cifar100",
            {"c": {"data": ["real", "all", "more"]}},
            filters={"more": {"samples": "t"}},
            samples={"s": {"fill_range": [0, 0.5]}, "t": {"generator": "g", "fill_to": "max", "fill_range": [0.5, 1]}},
        ),
        on(
            "cifar100",
            {"c": {"data": ["real", "all", "more"]}},
            filters={"more": {"samples": "t"}},
            samples={"s": {"shots": ["few"]}, "t": {"generator": "g", "per_class": 9, "shots": ["many", "medium"]}},
        ),
    ],
)
def test_what_fits_a_data_set_or_may_fit_it_is_taken(raw):
    Workflow(raw)
