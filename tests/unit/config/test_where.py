"""What a part says of some data sets."""

from examples import example, refused

from pipeline.config.workflow import Workflow

MORE = {
    "cifar10_lt": {"source": "cifar10", "imbalance_factor": 100},
    "cifar10_lt_50": {"extends": "cifar10_lt", "imbalance_factor": 50},
    "apart": {"extends": "cifar10_lt", "family": "elsewhere"},
}
EVERYWHERE = ["cifar100_lt", "cifar100_lt_200", *MORE]


def local(where, **sections):
    """The example on more data sets, with a generator that differs on some."""
    return example(
        datasets=MORE,
        generators={"cbdm": {"batch_size": 48, "where": where}, **sections.pop("generators", {})},
        recipes={"diffult": {"datasets": EVERYWHERE}, **sections.pop("recipes", {})},
        **sections,
    )


def sizes(flow, name="cbdm"):
    return [flow.part("generators", name, dataset).batch_size for dataset in EVERYWHERE]


def test_a_data_set_its_extensions_and_its_family_follow_and_the_nearest_counts():
    flow = Workflow(local({"cifar10_lt": {"batch_size": 128}, "cifar10_lt_50": {"batch_size": 64}}))
    assert sizes(flow) == [48, 48, 128, 64, 128]
    assert flow.part("generators", "cbdm").batch_size == 48
    flow = Workflow(local({"elsewhere": {"batch_size": 7}, "cifar10_lt": {"tau": 0}}))
    assert sizes(flow) == [48, 48, 48, 48, 7]
    assert [flow.part("generators", "cbdm", dataset).tau for dataset in EVERYWHERE] == [1, 1, 0, 0, 0]


def test_nested_keys_merge():
    flow = Workflow(local({"cifar10_lt": {"unet": {"dropout": 0.0}}}))
    assert [flow.part("generators", "cbdm", dataset).unet.dropout for dataset in EVERYWHERE] == [0.1, 0.1, 0, 0, 0]
    assert flow.part("generators", "cbdm", "cifar10_lt").unet.channels == 128


def test_what_extends_follows_but_for_keys_of_its_own():
    more = {"follows": {"extends": "cbdm"}, "own": {"extends": "cbdm", "batch_size": 8}}
    flow = Workflow(local({"cifar10_lt": {"batch_size": 128, "tau": 0}}, generators=more))
    assert sizes(flow, "follows") == [48, 48, 128, 128, 128]
    assert sizes(flow, "own") == [8] * 5
    assert flow.part("generators", "own", "cifar10_lt").tau == 0


def test_vary_holds_on_all_data_sets():
    recipes = {"tried": {"classifier": "diffult", "datasets": EVERYWHERE, "vary": {"generator.batch_size": [48, 24]}}}
    flow = Workflow(local({"cifar10_lt": {"batch_size": 128, "tau": 0}}, recipes=recipes))
    assert sizes(flow, "cbdm~batch_size=24") == [24] * 5
    assert sizes(flow, "cbdm~batch_size=48") == [48] * 5  # not the base part, which differs on some
    assert flow.part("generators", "cbdm~batch_size=24", "cifar10_lt").tau == 0


def test_references_are_the_same_everywhere_and_a_recipe_varies_them():
    plain = {"plain": {"kind": "cbdm", "tau": 0}}
    message = refused(local({}, generators=plain, pools={"cbdm": {"where": {"cifar10_lt": {"generator": "plain"}}}}))
    assert message == (
        "pools.cbdm.where.cifar10_lt: 'generator' must be the same on all data sets; "
        "set it in the vary of a recipe on these data sets"
    )
    varied = {"other": {"classifier": "diffult", "datasets": ["cifar10_lt"], "vary": {"pool.generator": "plain"}}}
    flow = Workflow(local({}, generators=plain, recipes=varied))
    assert list(flow.needed("cifar10_lt", [flow.run("other", "cifar10_lt")])["generators"]) == ["plain"]


def test_a_where_does_not_hold_another_where():
    message = refused(local({"cifar10_lt": {"where": {"apart": {"tau": 0}}}}))
    assert message.startswith("generators.cbdm.where.cifar10_lt: 'where' must be the same")


def test_a_data_set_that_gives_its_family_the_name_of_one_it_extends_keeps_the_order():
    more = {"middle": {"extends": "cifar10_lt"}, "last": {"extends": "middle", "family": "middle"}}
    config = local({"cifar10_lt": {"batch_size": 128}, "middle": {"batch_size": 64}})
    config["datasets"] |= more
    assert Workflow(config).part("generators", "cbdm", "last").batch_size == 64


def test_another_kind_replaces_what_a_where_says_of_the_first():
    config = local(
        {},
        pools={
            "cbdm": {"where": {"cifar10_lt": {"draw": {"kind": "ddim", "steps": 10}}}},
            "other": {"extends": "cbdm", "draw": {"kind": "ddpm"}},
        },
    )
    assert Workflow(config).part("pools", "other", "cifar10_lt").draw.kind == "ddpm"


def test_settings_do_not_hold_what_differs_elsewhere():
    flow = Workflow(local({"cifar10_lt": {"batch_size": 128}}))
    assert "where" not in flow.part("generators", "cbdm", "cifar10_lt").settings()


def test_vary_does_not_address_a_where():
    message = refused(
        local(
            {},
            recipes={
                "tried": {
                    "classifier": "ce",
                    "datasets": ["cifar10_lt"],
                    "vary": {"generator.where.cifar10_lt.tau": [0, 1]},
                }
            },
        )
    )
    assert message == (
        "recipes.tried: vary: 'generator.where.cifar10_lt.tau' cannot be varied; vary the key without its where"
    )


def test_two_runs_of_one_name_are_refused_with_both_recipes():
    again = {"again": {"classifiers": ["diffult"], "datasets": ["cifar10_lt"]}}
    assert refused(local({}, recipes=again)) == (
        "recipes.again: two runs would both be called diffult on cifar10_lt (the other is of recipes.diffult)"
    )
