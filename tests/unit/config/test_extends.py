"""`extends` and families."""

from examples import EXAMPLE, example, runs, varied

from pipeline.config.workflow import Workflow


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
    raw = example(filters={"a": {"extends": "b"}, "b": {"pool": "cbdm"}})
    assert Workflow(raw).part("filters", "a").pool == "cbdm"


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
